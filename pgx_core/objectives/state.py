"""The batched state that reward terms and terminations read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class State:
    """B worlds at the end of one control step, in MuJoCo's conventions (SI units)."""

    time: Float[Tensor, "B"]  # s since the start of the episode
    qpos: Float[Tensor, "B nq"]
    qvel: Float[Tensor, "B nv"]
    action: Float[Tensor, "B actions"]  # the policy's output, clipped to [-1, 1]
    previous_action: Float[Tensor, "B actions"]
    sensordata: Float[Tensor, "B sensors"]  # as of the last physics step, one timestep before qpos
    sensors: Mapping[str, slice]  # where each named sensor lies in `sensordata`
    # s that each touch sensor, in the MJCF's order, has felt contact without a break; negative: that it has felt none.
    touch_time: Float[Tensor, "_ touches"] = field(default_factory=lambda: torch.zeros(0, 0))

    def sensor(self, name: str) -> Float[Tensor, "B size"]:
        """Reading of one named sensor of the robot's MJCF."""
        if name not in self.sensors:
            known = ", ".join(self.sensors) or "none"
            raise KeyError(f"no sensor '{name}' in the robot's MJCF (it has: {known})")
        return self.sensordata[:, self.sensors[name]]

    def constant(self, *values: float) -> Float[Tensor, "_"]:
        """Numbers where the worlds are, shared by all who ask for them: not to be written to.

        They are put there once. A term that made them anew would wait, at every step, for all that a GPU has queued.
        """
        return _constant(values, self.time.dtype, self.time.device)


@cache
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=device)
