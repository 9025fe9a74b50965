"""Package of the simulated robot."""

from setuptools import find_packages, setup

NAME = "pgx_sim"

setup(
    name=NAME,
    version="0.1.0",
    packages=find_packages(include=[NAME]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/config", ["config/fastdds.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="The pgx authors",
    maintainer_email="pgx@example.org",
    description="A robot simulated with MuJoCo behind the topics of a real one, with faults on demand.",
    license="Apache-2.0",
    entry_points={"console_scripts": [f"sim = {NAME}.node:main"]},
)
