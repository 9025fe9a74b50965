"""Highway through EnvPool: keep fast and keep right on a motorway without a collision.

The reward of a step lies between 0 and 1; a collision ends the episode. One decision a second, 30 in an episode.
"""

from __future__ import annotations

from collections.abc import Sequence

from pgx_core.environments.environment import Environment, Space, Task
from pgx_core.environments.envpool_worlds import NEVER, EnvPoolWorlds, Make

# Five vehicles of five numbers: presence, position along and across, velocity along and across.
SPACE = Space(25, 5, discrete=True)
WHOLE = ("lanes_count", "vehicles_count")


def _make(tasks: Sequence[Task], seed: int) -> EnvPoolWorlds:
    return EnvPoolWorlds([Make("HighwayFast-v0", _options(task)) for task in tasks], seed, discrete=True)


def _options(task: Task) -> dict[str, float | int]:
    """EnvPool's options: `duration` is its time limit, in steps."""
    given = {name: round(value) if name in WHOLE else float(value) for name, value in task.parameters.items()}
    return {"duration": NEVER, **given}


HIGHWAY = Environment("highway", SPACE, episode_steps=30, make=_make)
