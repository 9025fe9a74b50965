"""Package metadata and extras; the tools are configured in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "pgx_core/__init__.py").read_text()).group(1)

# Wheels of ROS 2 Kilted exist for these only. Robots use their ROS installation.
WHEELS = "sys_platform == 'linux' and platform_machine == 'x86_64' and python_version < '3.15'"
ROS = [
    # To run: the middleware is no dependency of rclpy.
    "ros-kilted-rclpy[fastrtps]",
    *(f"ros-kilted-{name}-msgs" for name in ("std", "sensor", "nav", "trajectory", "diagnostic", "lifecycle")),
    "ros-kilted-std-srvs",
    "ros-kilted-rosgraph-msgs",
    # To build ros2_ws.
    *(f"ros-kilted-ament-{name}" for name in ("package", "cmake", "cmake-include-directories", "cmake-ros-core")),
    *(f"ros-kilted-rosidl-{name}" for name in ("core-generators", "default-generators", "default-runtime")),
    "colcon-core",
    *(f"colcon-{name}" for name in ("ros", "cmake", "bash", "python-setup-py", "library-path", "recursive-crawl")),
    *(f"colcon-{name}" for name in ("package-selection", "output", "defaults", "metadata")),
    "setuptools>=70.1,<80",
]

EXTRAS = {
    # Training, from objectives to the report.
    "train": [
        "torch>=2.6",
        "mujoco>=3.3",
        "scikit-learn>=1.4",
        "scipy>=1.12",
        "cvxpy>=1.5",
        "clarabel>=0.9",
        "moocore>=0.2",
        "scs>=3.2",
        "jaxtyping>=0.2.36",
        "tyro>=0.9",
        "tqdm",
        "tensorboard",
        "matplotlib>=3.8",
        "pillow",
        "jinja2>=3.1",
    ],
    "warp": ["mujoco-warp>=4.0", "warp-lang>=1.19"],  # simulation on a GPU
    "envs": [f"envpool ; {WHEELS}", "gymnasium[box2d]>=1.0"],  # environments with rewards of their own
    "export": ["onnx>=1.17", "onnxscript>=0.5"],
    "serve": ["onnxruntime>=1.18", "tyro>=0.9"],  # all that a robot needs; tyro for `pgx verify`
    "gpu": ["onnxruntime-gpu>=1.18", "tyro>=0.9"],  # instead of "serve"
    "ros": [f"{package} ; {WHEELS}" for package in ROS],  # a ROS 2 without an installation
    "scale": ["ray>=2.40"],  # several GPUs or machines
    "dev": [
        *("pytest>=8", "pytest-timeout", "pytest-xdist", "hypothesis", "beartype>=0.19", "filelock", "ruff", "mypy"),
        "isaacgym-stubs==1.1rc4",  # types of a simulator that is not on the index
        *("psutil", "rosbags", "mcap-ros2-support"),  # measure processes, write and read recordings
    ],
}

setup(
    name="pgx-core",
    version=VERSION,
    description="Finds which robot objectives belong together and trains one policy per group.",
    long_description=(ROOT / "README.md").read_text() if (ROOT / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=find_packages(include=["pgx_core", "pgx_core.*"]),
    package_data={"pgx_core.objectives": ["*.xml", "*.urdf"], "pgx_core.report": ["*.html"]},
    install_requires=["numpy>=1.26"],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["pgx = pgx_core.cli:main"]},
)
