"""Package of the launch files and parameters, which lie in the folder `launch` at the top of the repository."""

from glob import glob

from setuptools import find_packages, setup

NAME = "pgx_bringup"

setup(
    name=NAME,
    version="0.1.0",
    packages=find_packages(include=[NAME]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", glob("launch/*.launch.py")),
        (f"share/{NAME}/params", glob("launch/params/*.yaml")),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="The pgx authors",
    maintainer_email="pgx@example.org",
    description="Starts robot, policy server and watchdog, with a ROS installation or without one.",
    license="Apache-2.0",
    entry_points={"console_scripts": [f"record = {NAME}.record:main"]},
)
