"""What only an import can tell, each run in a process of its own: `python -m pgx_core.doctor.probes NAME`.

It prints one line. A crash, a hang or an exception in a library hurts nobody but this process.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import time
import typing
from collections.abc import Callable
from functools import partial

WORLDS, STEPS = 4, 5


def main(name: str) -> int:
    """Run one probe: its line on stdout, or the last line of what went wrong on stderr."""
    line, stdout = "", os.dup(1)
    os.dup2(2, 1)  # what libraries print is not the answer
    try:
        line = PROBES[name]()
    except Exception as error:  # whatever a broken installation raises is the finding
        words = str(error).strip() or type(error).__name__
        print(" ".join(words.split()), file=sys.stderr)
        return 1
    os.write(stdout, f"{line}\n".encode())
    return 0


def torch() -> str:
    """Where torch can compute."""
    library = importlib.import_module("torch")
    if library.cuda.is_available():
        return f"CUDA: {library.cuda.get_device_name(0)}"
    return "on the CPU; no CUDA device" if library.version.cuda else "on the CPU; a build without CUDA"


def onnxruntime() -> str:
    """The providers that a policy may run on; also that the robot's half imports."""
    importlib.import_module("pgx_core.serving")
    library = importlib.import_module("onnxruntime")
    known = {"CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"}
    offered = [name for name in library.get_available_providers() if name in known]
    return "on " + ", ".join(name.removesuffix("ExecutionProvider") for name in offered)


def opengl() -> str:
    """Whether a picture can be drawn."""
    context = importlib.import_module("mujoco").GLContext(32, 32)
    context.make_current()
    context.free()
    return f"draws with MUJOCO_GL={os.environ.get('MUJOCO_GL', '')}".removesuffix(" with MUJOCO_GL=")


def step(backend: str) -> str:
    """Step a small suite a few times on a backend."""
    if backend == "isaacgym":
        importlib.import_module("isaacgym")  # it refuses to be imported after torch
    import numpy as np
    import torch as tensors

    from pgx_core.errors import ConfigError
    from pgx_core.objectives.loading import EMBEDDED
    from pgx_core.simulation.make import make_simulation
    from pgx_core.simulation.simulation import SimulationConfig

    settings: dict[str, typing.Any] = {"backend": backend}
    if backend == "envpool":
        settings = {}
    elif backend not in typing.get_args(typing.get_type_hints(SimulationConfig)["backend"]):
        raise ConfigError(f"this version of pgx has no backend '{backend}'")
    elif backend in ("warp", "isaacgym") and tensors.cuda.is_available():
        settings["device"] = "cuda"
    suite = EMBEDDED["metaworld_mt10_fixed" if backend == "envpool" else "tiny"]
    worlds = make_simulation(suite, np.arange(WORLDS) % len(suite.objectives), 0, SimulationConfig(**settings))
    device = worlds.reset().device
    begin = time.perf_counter()
    for _ in range(STEPS):
        worlds.step(tensors.zeros(WORLDS, worlds.space.n_actions, device=device))
    return f"{WORLDS} worlds of '{suite.name}' stepped {STEPS} times on {device}, {time.perf_counter() - begin:.2f} s"


PROBES: dict[str, Callable[[], str]] = {"torch": torch, "onnxruntime": onnxruntime, "opengl": opengl} | {
    f"step_{backend}": partial(step, backend) for backend in ("mujoco", "warp", "isaacgym", "envpool")
}

if __name__ == "__main__":
    with contextlib.suppress(IndexError):
        sys.exit(main(sys.argv[1]))
