"""Package of the policy server and its watchdog."""

from setuptools import find_packages, setup

NAME = "pgx_policy_server"

setup(
    name=NAME,
    version="0.1.0",
    packages=find_packages(include=[NAME]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="The pgx authors",
    maintainer_email="pgx@example.org",
    description="Serves a bundle of group policies: a lifecycle node that follows objectives, and its watchdog.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            f"policy_server = {NAME}.server_node:main",
            f"watchdog = {NAME}.watchdog_node:main",
        ],
    },
)
