"""What pursuing an objective looks like once it is steady, learnt from episodes without a switch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Float

from pgx_core.play import SimulatedRobot

WINDOW_S = 1.0  # s over which signals are averaged: some strides
ARRIVED = 0.02  # m: a tool so near its target is there
LEAST_SPREAD = 0.1  # m/s, rad/s, m or rad: smaller differences are none
SLACK = 1.25  # how much further from the mean than ever seen in the references still counts as steady


@dataclass(frozen=True)
class Steady:
    """The signals of an objective that is pursued steadily, C of them, each averaged over the window."""

    mean: Float[np.ndarray, "C"]
    spread: Float[np.ndarray, "C"]
    limit: float  # largest root mean square of the deviations, in spreads


def signals(robot: SimulatedRobot) -> Float[np.ndarray, "C"]:
    """The root body's velocity in its own frame (rad/s, m/s) and height (m); of a robot that stands fast its joints.

    Where there is a target the joints go where it is, so what counts is how far the tool is from it.
    """
    velocity = np.zeros(6)
    mujoco.mj_objectVelocity(robot.model, robot.data, int(mujoco.mjtObj.mjOBJ_BODY), robot.root, velocity, 1)
    base = np.append(velocity, robot.data.xpos[robot.root, 2])
    if robot.model.body_jntnum[robot.root]:
        return base
    distance = robot.distance()
    # Scaled so that ARRIVED weighs as much as the least spread of the others.
    return np.append(base, joint_positions(robot) if math.isnan(distance) else distance * LEAST_SPREAD / ARRIVED)


def joint_positions(robot: SimulatedRobot) -> Float[np.ndarray, "J"]:
    """Positions of the contract's joints, rad or m."""
    joints = robot.model.actuator_trnid[robot.actuators, 0]
    positions: np.ndarray = robot.data.qpos[robot.model.jnt_qposadr[joints]]
    return positions


def smooth(rows: Float[np.ndarray, "T C"], rate: float) -> Float[np.ndarray, "W C"]:
    """Means over every whole window of `rows`, sampled at `rate` Hz; W = T - window + 1."""
    size = max(1, round(WINDOW_S * rate))
    sums = np.cumsum(np.vstack([np.zeros((1, rows.shape[1])), rows]), axis=0)
    means: np.ndarray = (sums[size:] - sums[:-size]) / size
    return means


def learn_steady(references: Sequence[Float[np.ndarray, "T C"]], rate: float) -> Steady:
    """The steady state of an objective, from the second halves of its reference episodes (one or more)."""
    halves = [smooth(rows[len(rows) // 2 :], rate) for rows in references]
    windows = np.concatenate(halves)
    draft = Steady(windows.mean(0), np.maximum(windows.std(0), LEAST_SPREAD), math.inf)
    limit = max(1.0, SLACK * float(_deviation(windows, draft).max()))
    return Steady(draft.mean, draft.spread, limit)


def settling_time(rows: Float[np.ndarray, "T C"], steady: Steady, rate: float) -> float:
    """Seconds from the first row until every later window is steady, the window included; infinite if none is."""
    windows = smooth(rows, rate)
    wrong = np.flatnonzero(_deviation(windows, steady) > steady.limit)
    first = 0 if len(wrong) == 0 else int(wrong[-1]) + 1
    return math.inf if first >= len(windows) else (first + len(rows) - len(windows) + 1) / rate


def _deviation(windows: Float[np.ndarray, "W C"], steady: Steady) -> Float[np.ndarray, "W"]:
    deviation: np.ndarray = np.sqrt((((windows - steady.mean) / steady.spread) ** 2).mean(1))
    return deviation
