"""Meta-World v3 through EnvPool: a robot arm at a table, one skill a task, success as the environment reports it.

The goal is part of the observation, as in Meta-World's multi-task benchmarks. With random goals every episode draws its
own; with fixed ones every episode of a task starts alike, in training and in evaluation.

Four tasks replayed in the `metaworld` package (3.0.0, MuJoCo 3.3) with the same actions agree: hand and object within
0.1 mm, rewards within 0.04 of 10, success at the same steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pgx_core.environments.environment import Environment, Space, Task
from pgx_core.environments.envpool_worlds import EnvPoolWorlds, Make

MAXIMUM_REWARD = 10.0  # of a step, in every task
FIXED_SEED = 1  # of the fixed goals

MT10 = (
    "reach", "push", "pick-place", "door-open", "drawer-open", "drawer-close", "button-press-topdown",
    "peg-insert-side", "window-open", "window-close",
)  # fmt: skip
MT50 = (
    *MT10, "assembly", "basketball", "bin-picking", "box-close", "button-press", "button-press-topdown-wall",
    "button-press-wall", "coffee-button", "coffee-pull", "coffee-push", "dial-turn", "disassemble", "door-close",
    "door-lock", "door-unlock", "faucet-close", "faucet-open", "hammer", "hand-insert", "handle-press",
    "handle-press-side", "handle-pull", "handle-pull-side", "lever-pull", "peg-unplug-side", "pick-out-of-hole",
    "pick-place-wall", "plate-slide", "plate-slide-back", "plate-slide-back-side", "plate-slide-side", "push-back",
    "push-wall", "reach-wall", "shelf-place", "soccer", "stick-pull", "stick-push", "sweep", "sweep-into",
)  # fmt: skip


def _make(tasks: Sequence[Task], seed: int, fixed: bool) -> EnvPoolWorlds:
    makes = [Make(environment_id(task.name), {"partially_observable": False}) for task in tasks]
    return EnvPoolWorlds(makes, seed, False, 1.0 / MAXIMUM_REWARD, FIXED_SEED if fixed else None)


def environment_id(task: str) -> str:
    """EnvPool's name of a task: `door-open` is `MetaWorld/DoorOpen-v3`."""
    return "MetaWorld/" + "".join(word.capitalize() for word in task.split("-")) + "-v3"


def _environment(name: str, fixed: bool) -> Environment:
    return Environment(name, Space(39, 4), 500, partial(_make, fixed=fixed), reports_success=True)


RANDOM_GOALS = _environment("metaworld", fixed=False)
FIXED_GOALS = _environment("metaworld, fixed goals", fixed=True)
