"""How long each foot has stood or swung: counted from the touch sensors, and forgotten at a reset."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from pgx_core.objectives.objective import Objective, Reward
from pgx_core.objectives.quadruped import LEGS
from pgx_core.objectives.quadruped import SUITE as QUADRUPED
from pgx_core.simulation.simulation import Simulation, SimulationConfig


def test_the_time_since_each_foot_landed_or_left_is_counted():
    seen = []

    def watch(state, command):
        contacts = torch.cat([state.sensor(f"{leg}_contact") for leg in LEGS], 1) > 0.0
        seen.append((state.touch_time.clone(), contacts))
        return state.time

    suite = replace(QUADRUPED, objectives=tuple(Objective(n, (Reward(watch),)) for n in "ab"), episode_seconds=1.0)
    simulation = Simulation(suite, np.zeros(6, np.int64), 0, SimulationConfig(threads=1), stagger=False)
    simulation.reset()
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):  # the last ten are a new episode
        simulation.step(torch.randn(6, 12, generator=generator))
    expected = torch.zeros(6, 4)
    for step, (came, contacts) in enumerate(seen):
        expected = torch.zeros(6, 4) if step == 50 else expected
        for world, foot in np.ndindex(6, 4):
            last = float(expected[world, foot])
            touching = bool(contacts[world, foot])
            expected[world, foot] = max(last, 0.0) + 0.02 if touching else min(last, 0.0) - 0.02
        torch.testing.assert_close(came, expected)
    assert {bool(flag) for _, contacts in seen for flag in contacts.flatten()} == {True, False}
