"""How to get from one objective to another on a moving robot, by what the switch matrix says."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pgx_core.serving.config import ServingConfig
from pgx_core.serving.switches import SwitchMatrix, SwitchPair

Path = tuple[str, ...]

UNMEASURED = "which switches between objectives a moving robot stands is unmeasured"


@dataclass(frozen=True)
class Way:
    """How to switch from one objective to another."""

    first: str  # the objective to switch to now: the target, or one on the way to it; "" if no way is safe
    reason: str  # why not directly; "" if directly


class Ways:
    """The ways between all objectives.

    Args:
        matrix: every pair.
        fall_rate: a switch is safe if the upper bound of its fall rate is at most this, 0 to 1.
        neutral: the objective preferred on the way; "" for none: the fewest switches, and of those the least risk.
    """

    def __init__(self, matrix: SwitchMatrix, fall_rate: float, neutral: str) -> None:
        self._matrix, self._fall_rate, self._neutral = matrix, fall_rate, neutral
        self._pairs = {(pair.source, pair.target): pair for pair in matrix.pairs}
        self._paths = self._safe_paths()
        self._ways = {ends: self._find(pair) for ends, pair in self._pairs.items()}

    def way(self, source: str, target: str) -> Way:
        """From one objective to another; between the same one and from "", a standstill, it is direct."""
        return self._ways.get((source, target), Way(target, ""))

    def longest(self, source: str, target: str) -> float:
        """Seconds that all switches of the way but the last take to settle; 0 for a direct one, or where none is."""
        stops = self._path(source, target)[:-1]
        return sum(self.settling(a, b) for a, b in zip((source, *stops), stops, strict=False))

    def settling(self, source: str, target: str) -> float:
        """Seconds until the target is pursued steadily; `source` is "" at standstill."""
        pair = self._pairs.get((source, target))
        seconds = pair.settling_s if pair is not None else self._matrix.starts[target]
        return self._matrix.watched_s if seconds is None else seconds

    @property
    def direct(self) -> int:
        """How many of the pairs are safe directly."""
        return sum(self._safe(pair) for pair in self._pairs.values())

    @property
    def refused(self) -> int:
        """How many of the pairs no way is safe for."""
        return sum(not way.first for way in self._ways.values())

    def _find(self, pair: SwitchPair) -> Way:
        path = self._path(pair.source, pair.target)
        if len(path) == 1:
            return Way(pair.target, "")
        why = f"directly {pair.falls} of {pair.episodes} tries fell"
        if not path:
            return Way("", f"no safe way from '{pair.source}' to '{pair.target}': {why}, and no objective lies between")
        stops = ", ".join(f"'{name}'" for name in path[:-1])
        return Way(path[0], f"through {stops} ({self.longest(pair.source, pair.target):.1f} s): {why}")

    def _path(self, source: str, target: str) -> Path:
        """The objectives to switch to one after another; none if no way is safe."""
        neutral = (self._neutral, target)
        direct = self._paths.get((source, target), ())
        through = all(self._steady_pair(ends) for ends in ((source, self._neutral), neutral))
        return neutral if len(direct) > 1 and through else direct

    def _safe_paths(self) -> dict[tuple[str, str], Path]:
        """The path of fewest switches, and of those of least risk, between every two objectives that have one."""
        safe = [pair for pair in self._pairs.values() if self._safe(pair)]
        best: dict[tuple[str, str], tuple[int, float, Path]] = {}
        best.update({(pair.source, pair.target): (1, _risk(pair), (pair.target,)) for pair in safe})
        for _ in self._matrix.starts:  # as often as there are objectives: no path is longer
            for first in (pair for pair in safe if pair.settling_s is not None):
                for target in self._matrix.starts:
                    rest = best.get((first.target, target))
                    if rest is None or target == first.source:
                        continue
                    longer = (rest[0] + 1, _risk(first) + rest[1], (first.target, *rest[2]))
                    ends = (first.source, target)
                    best[ends] = min(best.get(ends, longer), longer)
        return {ends: path for ends, (_, _, path) in best.items()}

    def _steady_pair(self, ends: tuple[str, str]) -> bool:
        pair = self._pairs.get(ends)
        return pair is not None and self._safe(pair) and pair.settling_s is not None

    def _safe(self, pair: SwitchPair) -> bool:
        return pair.high <= self._fall_rate


def survey(matrix: SwitchMatrix | None, config: ServingConfig) -> tuple[Ways | None, str]:
    """The ways, or None where nothing that holds was measured, and in a sentence what is known of switches."""
    if matrix is None:
        return None, f"{UNMEASURED}: run `pgx switch-matrix` on the bundle"
    if config.switch_fall_rate == 1.0:
        return None, "switches are direct, whatever was measured: switch_fall_rate is 1"
    if matrix.blend_s != config.blend_s:
        return None, f"{UNMEASURED} with blend_s {config.blend_s:g}: the bundle has them with {matrix.blend_s:g}"
    ways = Ways(matrix, config.switch_fall_rate, config.neutral_objective)
    counts = f"{ways.direct} of {len(matrix.pairs)} directly, {ways.refused} not at all"
    return ways, f"switches that fall in at most {config.switch_fall_rate:.0%}: {counts}"


def _risk(pair: SwitchPair) -> float:
    """The upper bound of the rate of falls, so that those of switches in a row add up."""
    return -math.log1p(-min(pair.high, 1.0 - 1e-12))
