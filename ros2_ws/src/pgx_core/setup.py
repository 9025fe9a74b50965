"""Package of the library for a ROS workspace: the half of it that runs on a robot. pip takes the repository's own."""

from setuptools import setup

NAME = "pgx_core"  # its sources are the repository's, through a link

setup(
    name=NAME,
    version="0.1.0",
    packages=[NAME, f"{NAME}.serving", f"{NAME}.commands", f"{NAME}.doctor"],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ],
    install_requires=["setuptools", "numpy"],
    zip_safe=True,
    maintainer="The pgx authors",
    maintainer_email="pgx@example.org",
    description="Reads, verifies and serves bundles of group policies.",
    license="Apache-2.0",
    entry_points={"console_scripts": ["pgx = pgx_core.cli:main"]},
)
