"""What simulation says of every objective before a robot tries it: the content of a bundle's `rehearsal.json`."""

from __future__ import annotations

from dataclasses import dataclass

REHEARSAL_FILE = "rehearsal.json"
ARRIVED = 0.02  # m: a tool so near its target is there
DEADLINE = 3.0  # s from the start of an episode until it should be


@dataclass(frozen=True)
class Rehearsed:
    """Episodes of one objective in one kind of worlds. Figures are None where they mean nothing.

    Errors are means over the second half of the episodes that did not fall, of readings averaged over a second: a gait
    sways, and that is no error. Peaks are over every physics step until a fall, as a share of the contract's limit; in
    a world whose motors are stronger than the model's an effort can exceed 1.
    """

    objective: str
    worlds: str  # nominal: the model; randomised: as in training; wider: ranges beyond those
    episodes: int
    falls: int  # ended by the suite, or tilted beyond the contract's maximum
    velocity_command: float | None  # m/s in the plane
    velocity_error: float | None  # m/s, length of the difference in the plane
    turn_command: float | None  # rad/s
    turn_error: float | None  # rad/s
    reached: float | None  # share of episodes that are within ARRIVED at DEADLINE, and at every tick from then on
    reach_s: float | None  # s until half of the episodes have been within ARRIVED; None: fewer ever are
    distance: float | None  # m, mean after DEADLINE
    position_peak: float | None  # share of the range from its middle to its ends
    velocity_peak: float
    effort_peak: float | None  # None: the model has no actuatorfrc sensor for some joint


@dataclass(frozen=True)
class Rehearsal:
    """Every objective in every kind of worlds."""

    seconds: float  # of an episode
    widened: float  # how many times as far from the model the wider ranges reach
    seed: int
    rows: tuple[Rehearsed, ...]
