"""From sensor readings to joint commands, with bumpless switches between objectives. One call per control tick."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pgx_core.contract import PolicyContract
from pgx_core.errors import ConfigError
from pgx_core.observation import Readings, limit_rate, observe
from pgx_core.serving.bundle import Bundle
from pgx_core.serving.checks import find_objective
from pgx_core.serving.golden import PolicyOutput


@dataclass(frozen=True)
class Tick:
    """What one control tick gave."""

    command: np.ndarray | None  # [joints]; a refused tick repeats the last one; None where there is none yet
    action: np.ndarray  # [joints] the policy's last good action
    group: str
    objective: str
    refusal: str = ""  # why the readings or the policy's answer were not used; empty if they were


@dataclass(frozen=True)
class Route:
    """Which policy pursues an objective."""

    objective: str
    group: str
    one_hot: np.ndarray  # [objectives]


class _RefusedError(Exception):
    """This tick has no new command, and why."""


class PolicyServer:
    """Serves the policies of a bundle.

    `select` may be called from another thread than `tick`: it only leaves a wish, which the next tick takes.

    Args:
        bundle: verified policies.
        objective: the first one to pursue.
        blend_s: seconds over which a new policy takes over from the last command, 0 to 5.

    Raises:
        BundleError: the objective is unknown.
        ConfigError: the blend is out of range.
    """

    def __init__(self, bundle: Bundle, objective: str, blend_s: float = 0.3) -> None:
        if not 0.0 <= blend_s <= 5.0:
            raise ConfigError(f"blend_s: expected 0 to 5 s, got {blend_s}")
        self._bundle = bundle
        self._contract = bundle.manifest.contract
        self._ramp_ticks = max(1, round(blend_s * self._contract.control_rate))
        self._route = self._wanted = self._find(objective)
        self._action = np.zeros(self._contract.action_size, np.float32)
        self._command: np.ndarray | None = None
        self._ramp_start: np.ndarray | None = None
        self._ramp_tick = 0

    def select(self, objective: str) -> str:
        """Pursue another objective from the next tick on; the answer is the group that serves it.

        Raises:
            BundleError: the objective is unknown; the current one stays.
        """
        self._wanted = self._find(objective)
        return self._wanted.group

    def tick(self, readings: Readings) -> Tick:
        """The next command.

        Args:
            readings: unbatched, joints in the contract's order. `last_action` and `objective` are the server's
                own and are ignored here.

        A tick whose readings or answer are unusable changes nothing, repeats the last command and says why.
        """
        self._follow()
        refusal = ""
        try:
            observation = self._observe(readings)
            output = self._ask(observation)
            self._move(output, readings)
        except _RefusedError as error:
            refusal = str(error)
        command = None if self._command is None else self._command.copy()
        return Tick(command, self._action.copy(), self._route.group, self._route.objective, refusal)

    def _find(self, name: str) -> Route:
        manifest = self._bundle.manifest
        objective = find_objective(manifest, name)
        one_hot = np.array([float(other is objective) for other in manifest.objectives])
        return Route(objective.name, objective.group, one_hot)

    def _follow(self) -> None:
        """Take the wished route; a policy that changes ramps in from the last command."""
        wanted, current = self._wanted, self._route
        seen = self._bundle.manifest.conditioned and wanted.objective != current.objective
        if seen or wanted.group != current.group:
            self._ramp_start, self._ramp_tick = self._command, 0
        self._route = wanted

    def _observe(self, readings: Readings) -> np.ndarray:
        """The observation as float32. NaN and infinity are looked for before the network, whose clips hide them."""
        readings = replace(readings, last_action=self._action, objective=self._route.one_hot)
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # looked for below
                observation: np.ndarray = observe(self._contract, readings, np.concatenate).astype(np.float32)
        except ValueError as error:
            raise _RefusedError(str(error)) from error
        if observation.shape != (self._contract.observation_size,):
            raise _RefusedError(f"expected one observation, got the shape {observation.shape}")
        if not np.isfinite(observation).all():
            raise _RefusedError(f"observation term '{_first_bad_term(self._contract, observation)}' is not finite")
        return observation

    def _ask(self, observation: np.ndarray) -> PolicyOutput:
        output = self._bundle.sessions[self._route.group].run(observation)
        if not (np.isfinite(output.action).all() and np.isfinite(output.command).all()):
            raise _RefusedError(f"group '{self._route.group}' gave an answer that is not finite")
        return output

    def _move(self, output: PolicyOutput, readings: Readings) -> None:
        """Command a blend of the ramp's start and the policy's command, no faster than the joints may move."""
        if self._ramp_start is None:
            self._ramp_start = _resting_command(self._contract, readings)
        previous = self._ramp_start if self._command is None else self._command
        self._ramp_tick = min(self._ramp_tick + 1, self._ramp_ticks)
        weight = self._ramp_tick / self._ramp_ticks
        blended = (1.0 - weight) * self._ramp_start + weight * output.command
        self._command = _within_limits(self._contract, limit_rate(self._contract, previous, blended))
        self._action = output.action


def _resting_command(contract: PolicyContract, readings: Readings) -> np.ndarray:
    """The command that asks for no motion: where the joints are, or no velocity or effort."""
    if contract.command_type != "position":
        return _within_limits(contract, np.zeros(contract.action_size))
    positions = np.asarray(readings.joint_positions, np.float64)
    if positions.shape != (contract.action_size,) or not np.isfinite(positions).all():
        raise _RefusedError("the joint positions to start from are not finite numbers, one per joint")
    return _within_limits(contract, positions)


def _within_limits(contract: PolicyContract, command: np.ndarray) -> np.ndarray:
    lower, upper = np.array([(joint.lower, joint.upper) for joint in contract.joints]).T
    limited: np.ndarray = np.clip(command, lower, upper)
    return limited


def _first_bad_term(contract: PolicyContract, observation: np.ndarray) -> str:
    ends = np.cumsum([term.size for term in contract.observation])
    first = int(np.argmin(np.isfinite(observation)))
    return contract.observation[int(np.searchsorted(ends, first, side="right"))].source
