"""What mjlab's own training of Unitree's Go1 (rsl_rl, flat ground) reaches, beside `gpu.py` on the same GPU.

mjlab has its own pins, so it needs its own environment (see the README); pgx is not imported.

    python benchmarks/gpu_mjlab.py --json benchmarks/results/gpu_mjlab.json
    python benchmarks/gpu_mjlab.py --device cpu --worlds 16 --iterations 2    # a rehearsal without a GPU
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import mjlab.tasks  # noqa: F401 (registers the tasks)
import torch
from mjlab.envs import ManagerBasedRlEnv
from mjlab.rl import MjlabOnPolicyRunner, RslRlVecEnvWrapper
from mjlab.tasks.registry import load_env_cfg, load_rl_cfg

TASK = "Mjlab-Velocity-Flat-Unitree-Go1"


def main() -> None:
    """Print, and keep, training steps per second over numbers of worlds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--worlds", type=int, nargs="+", default=[1024, 4096, 8192, 16384])
    parser.add_argument("--iterations", type=int, default=20, help="of PPO, timed after as many as --warmup")
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    speeds = {
        str(worlds): training_speed(worlds, options.device, options.warmup, options.iterations)
        for worlds in options.worlds
    }
    device = torch.device(options.device)
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else "none: a rehearsal on the CPU"
    names = ("mjlab", "mujoco", "mujoco-warp", "warp-lang", "rsl-rl-lib", "torch")
    figures = {"gpu": gpu, "task": TASK, "training_steps_per_second": speeds} | {name: version(name) for name in names}
    print(json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def training_speed(worlds: int, device: str, warmup: int, iterations: int) -> float:
    """Environment steps per second of rollouts and updates together."""
    environment, settings = load_env_cfg(TASK), asdict(load_rl_cfg(TASK)) | {"logger": "tensorboard"}
    environment.scene.num_envs = worlds
    env = RslRlVecEnvWrapper(ManagerBasedRlEnv(environment, device=device))
    with TemporaryDirectory() as folder:
        runner = MjlabOnPolicyRunner(env, settings, folder, device)
        runner.learn(warmup)
        began = time.perf_counter()
        runner.learn(iterations)
        if device != "cpu":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - began
    env.close()
    return iterations * settings["num_steps_per_env"] * worlds / seconds


if __name__ == "__main__":
    main()
