"""What pgx can use, what for, and how each comes onto a machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Purpose = Literal["train", "serve", ""]


@dataclass(frozen=True)
class Part:
    """Something that may be installed."""

    name: str  # as its users know it
    gives: str  # what it is for, in a few words
    remedy: str  # what installs it: a command wherever there is one
    module: str = ""  # to import; empty: a program or a display
    distribution: str = ""  # that has its version; empty: called like the part
    probe: str = ""  # of pgx_core.doctor.probes, run in a process of its own
    needed: Purpose = ""  # what is impossible without it


def _extra(name: str) -> str:
    return f'pip install -c constraints.txt "pgx-core[{name}]"'  # in the clone's folder: the versions that are tested


ISAAC = "only with a build for Python 3.10 or newer; NVIDIA's own, developer.nvidia.com/isaac-gym, is for 3.6 to 3.8"
TRAINING = _extra("train,export")
EGL = "sudo apt install libegl1, then set MUJOCO_GL=egl"
ROS = "`make ros`, or install ROS 2, then build and source ros2_ws"

PARTS = (
    Part("torch", "training", TRAINING, "torch", probe="torch", needed="train"),
    Part("mujoco", "physics on the CPU", TRAINING, "mujoco", needed="train"),
    Part("onnx", "writing bundles", TRAINING, "onnx", needed="train"),
    Part("onnxruntime", "serving", _extra("serve"), "onnxruntime", probe="onnxruntime", needed="serve"),
    Part("mujoco_warp", "physics on a GPU", _extra("warp"), "mujoco_warp", "mujoco-warp"),
    Part("warp", "what mujoco_warp computes with", _extra("warp"), "warp", "warp-lang"),
    Part("isaacgym", "Isaac Gym's physics", ISAAC, "isaacgym"),
    Part("isaaclab", "Isaac Lab's environments", "see isaac-sim.github.io/IsaacLab", "isaaclab"),
    Part("mjlab", "mjlab's environments", "pip install mjlab, in an environment of its own", "mjlab"),
    Part("envpool", "more environments", _extra("envs"), "envpool"),
    Part("ray", "several machines", _extra("scale"), "ray"),
    Part("rclpy", "ROS 2 in Python", ROS, "rclpy"),
    Part("pgx_msgs", "our ROS 2 messages", ROS, "pgx_msgs"),
    Part("g++", "building pgx_msgs", "sudo apt install g++"),
    Part("cmake", "building pgx_msgs", "sudo apt install cmake"),
    Part("nvidia-smi", "an NVIDIA GPU", "the driver of your GPU, if this machine has one"),
    Part("OpenGL", "films of a run", f"{TRAINING}; {EGL}", "mujoco", probe="opengl"),
)

# A backend, the modules it cannot start without, and what brings them.
BACKENDS = (
    ("mujoco", ("torch", "mujoco"), TRAINING),
    ("warp", ("torch", "mujoco", "mujoco_warp"), _extra("train,warp")),
    ("isaacgym", ("torch", "mujoco", "isaacgym"), ISAAC),
    ("envpool", ("torch", "envpool"), _extra("train,envs")),
)
