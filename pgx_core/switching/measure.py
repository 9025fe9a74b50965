"""The switch matrix of a bundle: every ordered pair, tried as it is served."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import mujoco
import numpy as np
from scipy.stats import binomtest

from pgx_core.contract import PolicyContract
from pgx_core.serving import Bundle
from pgx_core.serving.switches import SWITCHES_SCHEMA, SwitchMatrix, SwitchPair
from pgx_core.switching.steady import Steady, learn_steady, settling_time
from pgx_core.switching.trial import SwitchConfig, Trial, pursue, switch

CONFIDENCE = 0.95
SETTLED_SHARE = 0.95  # of the switches that did not fall: a settling time holds for so many


@dataclass(frozen=True)
class Reference:
    """An objective without a switch; a policy that always falls has no steady state."""

    steady: Steady | None
    start_s: float | None  # s from standstill until every reference was steady


Pair = tuple[str, str]


def measure_reference(bundle: Bundle, model: mujoco.MjModel, objective: str, config: SwitchConfig) -> Reference:
    """What pursuing an objective steadily looks like."""
    rate = bundle.manifest.contract.control_rate
    trials = [pursue(bundle, model, objective, config, index) for index in range(config.references)]
    good = [trial.rows for trial in trials if not trial.fell]
    if not good:
        return Reference(None, None)
    steady = learn_steady(good, rate)
    return Reference(steady, max(settling_time(rows, steady, rate) for rows in good))


def measure_pair(
    bundle: Bundle, model: mujoco.MjModel, pair: Pair, references: dict[str, Reference], config: SwitchConfig
) -> SwitchPair:
    """Try the direct switch between two objectives; where the source is never steady there is nothing to try."""
    source, target = pair
    start_s = references[source].start_s
    direct = replace(bundle, switches=None)
    trials = [] if start_s is None else [
        switch(direct, model, source, target, start_s, config, index) for index in range(config.episodes)
    ]  # fmt: skip
    return summarise(pair, trials, references[target].steady, bundle.manifest.contract, config)


def summarise(
    pair: Pair, trials: Iterable[Trial], steady: Steady | None, contract: PolicyContract, config: SwitchConfig
) -> SwitchPair:
    """The figures of a pair; a robot that fell before the switch says nothing about it."""
    tried = [trial for trial in trials if len(trial.rows)]
    falls = sum(bool(trial.fell) for trial in tried)
    low, high = fall_interval(falls, len(tried))
    peaks = [peak_change(trial.commands, contract) for trial in tried]
    rate = contract.control_rate
    times = [math.inf if steady is None else settling_time(t.rows, steady, rate) for t in tried if not t.fell]
    return SwitchPair(*pair, len(tried), falls, low, high, max(peaks, default=0.0), _quantile(times))


def fall_interval(falls: int, episodes: int) -> tuple[float, float]:
    """The Clopper-Pearson interval of a rate; everything is possible where nothing was tried."""
    if episodes == 0:
        return 0.0, 1.0
    interval = binomtest(falls, episodes).proportion_ci(CONFIDENCE, "exact")
    return float(interval.low), float(interval.high)


def peak_change(commands: np.ndarray, contract: PolicyContract) -> float:
    """The largest change of a command between two ticks, as a share of what the output gate lets pass.

    That is what the joint can follow in a tick for position commands, and the command's range for others.
    """
    reach = np.array([joint.velocity_limit / contract.control_rate for joint in contract.joints])
    span = np.array([joint.upper - joint.lower for joint in contract.joints])
    changes = np.abs(np.diff(commands, axis=0)) / (reach if contract.command_type == "position" else span)
    return float(changes.max(initial=0.0))


def matrix_of(references: dict[str, Reference], pairs: Iterable[SwitchPair], config: SwitchConfig) -> SwitchMatrix:
    """The matrix in the order of the objectives."""
    found = {(pair.source, pair.target): pair for pair in pairs}
    ordered = tuple(found[ends] for ends in itertools.permutations(references, 2))
    starts = {name: reference.start_s for name, reference in references.items()}
    return SwitchMatrix(SWITCHES_SCHEMA, config.blend_s, config.watched_s, starts, ordered)


def _quantile(times: list[float]) -> float | None:
    """The time by which enough have settled."""
    if not times:
        return None
    worst = sorted(times)[math.ceil(SETTLED_SHARE * len(times)) - 1]
    return worst if math.isfinite(worst) else None
