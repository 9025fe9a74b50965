"""From readings to what the policy wants: observe, ask, blend from the last command."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pgx_core.contract import PolicyContract
from pgx_core.observation import Readings, observe
from pgx_core.serving.bundle import Bundle
from pgx_core.serving.course import NOWHERE, Route
from pgx_core.serving.golden import PolicyOutput
from pgx_core.serving.inputs import Inputs


class Pilot:
    """The policies of a bundle, one of them at the wheel.

    Args:
        bundle: verified policies.
        blend_ticks: ticks over which a policy takes over, 1 or more.
    """

    def __init__(self, bundle: Bundle, blend_ticks: int) -> None:
        self._contract, self._sessions = bundle.manifest.contract, bundle.sessions
        self._blend_ticks = blend_ticks
        self.reset()

    def reset(self) -> None:
        """As before the first tick."""
        self.action = np.zeros(self._contract.action_size, np.float32)  # the last good one
        self.start_blend(np.zeros(self._contract.action_size))

    @property
    def blended(self) -> bool:
        """Whether the last blend is complete."""
        return self._blend_tick >= self._blend_ticks

    def start_blend(self, command: np.ndarray) -> None:
        """Blend from this command to the policy's over the next ticks."""
        self._blend_start, self._blend_tick = command, 0

    def observe(self, inputs: Inputs, route: Route) -> tuple[np.ndarray | None, str]:
        """The observation [observation_size] float32, or None and why there is none."""
        if inputs.fault or route is NOWHERE:
            return None, inputs.fault
        readings = Readings(
            joint_positions=inputs.positions,
            joint_velocities=inputs.velocities,
            last_action=self.action,
            orientation=inputs.orientation,
            angular_velocity=inputs.angular_velocity,
            linear_velocity=inputs.linear_velocity,
            objective=route.one_hot,
            sensors=inputs.sensors,
        )
        with np.errstate(over="ignore", invalid="ignore"):  # looked for below
            observation: np.ndarray = observe(self._contract, readings, _join)
        if not np.isfinite(observation).all():
            return None, f"observation term '{_first_bad_term(self._contract, observation)}' is not finite"
        return observation, ""

    def ask(self, observation: np.ndarray, route: Route) -> tuple[PolicyOutput | None, str]:
        """The policy's answer, or None and what is wrong with it."""
        try:
            output = self._sessions[route.group].run(observation)
        except Exception as error:  # ONNX Runtime's exceptions share no base class; the robot must not be left alone
            return None, f"group '{route.group}' failed: {' '.join(str(error).split())}"
        if not (np.isfinite(output.action).all() and np.isfinite(output.command).all()):
            return None, f"group '{route.group}' gave an answer that is not finite"
        self.action = output.action
        return output, ""

    def blend(self, output: PolicyOutput) -> np.ndarray:
        """What to command at this tick: the policy's command, or on the way to it."""
        self._blend_tick = min(self._blend_tick + 1, self._blend_ticks)
        weight = self._blend_tick / self._blend_ticks
        blended: np.ndarray = (1.0 - weight) * self._blend_start + weight * output.command
        return blended


def _join(blocks: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(blocks, dtype=np.float32, casting="same_kind")


def _first_bad_term(contract: PolicyContract, observation: np.ndarray) -> str:
    ends = np.cumsum([term.size for term in contract.observation])
    first = int(np.argmin(np.isfinite(observation)))
    return contract.observation[int(np.searchsorted(ends, first, side="right"))].source
