"""What simulation says of every switch between two objectives: the content of a bundle's `switch_matrix.json`."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from pgx_core.errors import BundleError, ConfigError
from pgx_core.records import from_plain, parse_json, to_json

SWITCHES_FILE = "switch_matrix.json"
SWITCHES_PICTURE = "switch_matrix.png"
SWITCHES_SCHEMA = 1


@dataclass(frozen=True)
class SwitchPair:
    """What came of switching from one settled objective to another."""

    source: str
    target: str
    episodes: int  # switches tried
    falls: int  # of those: damped (tilt, over-speed, a bad answer), or a joint beyond its position limits
    low: float  # 95% Clopper-Pearson interval of the rate of falls, 0 to 1
    high: float
    peak: float  # largest change of a joint's command in a tick, share of what the output gate lets pass, 0 to 1
    settling_s: float | None  # s until 95% of those that did not fall pursue the target steadily; None: fewer ever do


@dataclass(frozen=True)
class SwitchMatrix:
    """Every ordered pair of a bundle's objectives."""

    schema_version: int
    blend_s: float  # s, the blend that all this holds for
    watched_s: float  # s that each switch was watched for
    starts: dict[str, float | None]  # s from standstill until an objective is steady; None: it never is
    pairs: tuple[SwitchPair, ...]


def encode_switches(matrix: SwitchMatrix) -> str:
    """The text of switch_matrix.json."""
    return to_json(matrix)


def decode_switches(text: str, objectives: tuple[str, ...]) -> SwitchMatrix:
    """Parse switch_matrix.json.

    Args:
        text: the whole file.
        objectives: the bundle's.

    Raises:
        BundleError: it is malformed, contradicts itself, or does not tell of every pair exactly once.
    """
    try:
        matrix = from_plain(SwitchMatrix, parse_json(text, SWITCHES_FILE), SWITCHES_FILE)
    except ConfigError as error:
        raise BundleError(str(error)) from error
    fault = _fault(matrix, objectives)
    if fault:
        raise BundleError(f"{SWITCHES_FILE}: {fault}; run `pgx switch-matrix` again")
    return matrix


def _fault(matrix: SwitchMatrix, objectives: tuple[str, ...]) -> str:
    if matrix.schema_version != SWITCHES_SCHEMA:
        return f"expected schema_version {SWITCHES_SCHEMA}, got {matrix.schema_version}"
    expected = sorted(itertools.permutations(objectives, 2))
    if sorted((pair.source, pair.target) for pair in matrix.pairs) != expected:
        return f"expected each of the {len(expected)} ordered pairs of objectives once, got {len(matrix.pairs)} others"
    if sorted(matrix.starts) != sorted(objectives):
        return "expected the start of every objective"
    times = [matrix.blend_s, matrix.watched_s, *matrix.starts.values(), *(pair.settling_s for pair in matrix.pairs)]
    if any(time is not None and not 0.0 <= time < math.inf for time in times):
        return "expected times of 0 s or more"
    for pair in matrix.pairs:
        rate = pair.falls / pair.episodes if pair.episodes > 0 else 0.0
        if not (0 <= pair.falls <= pair.episodes and 0.0 <= pair.low <= rate <= pair.high <= 1.0):
            return f"the figures of '{pair.source}' to '{pair.target}' contradict each other"
    return ""
