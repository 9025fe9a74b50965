"""No train/serve skew: what the trainer sees and commands is what `pgx_core.observation` says in plain numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from pgx_core.objectives.suites import SIGNS, TINY
from pgx_core.observation import Readings, decode_action, limit_rate, observe
from pgx_core.simulation.engines import make_engine

SHORT = replace(SIGNS, episode_seconds=0.4)
# Every kind of observation, plain sensors included.
ALL_SOURCES = replace(SHORT, robot=replace(SHORT.robot, observation=(*SHORT.robot.observation, "sensor:com_velocity")))


def readings_of(simulation, config):
    """The robot's sensors in numpy, from the saved state, as a robot's driver would report them."""
    state = simulation.state_dict()
    engine = make_engine(simulation.suite, simulation.robot, simulation.objectives, config)
    engine.restore(state["engine"])
    robot = simulation.robot
    qpos, qvel, sensordata = (tensor.numpy() for tensor in engine.read())
    sensors = {name: sensordata[:, where] for name, where in robot.sensors.items()}
    return Readings(
        joint_positions=qpos[:, robot.joint_qpos],
        joint_velocities=qvel[:, robot.joint_qvel],
        last_action=state["action"].numpy(),
        orientation=sensors.get("orientation"),
        angular_velocity=sensors.get("angular_velocity"),
        linear_velocity=sensors.get("linear_velocity"),
        sensors=sensors,
    )


def test_the_observation_is_the_one_a_robot_would_build(simulate, random_actions, config):
    for suite in (ALL_SOURCES, TINY):
        simulation = simulate(suite)
        observations = simulation.reset()
        for action in random_actions(simulation, 12):
            expected = observe(
                simulation.robot.contract, readings_of(simulation, config), lambda blocks: np.concatenate(blocks, -1)
            )
            np.testing.assert_array_equal(observations.numpy(), expected)
            step = simulation.step(action)
            observations = step.observations
            kept = ~(step.terminated | step.truncated)
            last_action = torch.where(kept[:, None], action.clip(-1, 1), 0.0)
            assert torch.equal(simulation.state_dict()["action"], last_action)


def test_every_tick_honours_limits_and_joint_speed(simulate, random_actions):
    simulation = simulate(SHORT, stagger=False)
    contract = simulation.robot.contract
    simulation.reset()
    home = np.array([joint.default for joint in contract.joints], dtype=np.float32)
    previous = np.tile(home, (simulation.n_worlds, 1))
    np.testing.assert_array_equal(simulation.state_dict()["command"].numpy(), previous)
    held_back = 0
    for action in random_actions(simulation, SHORT.episode_steps - 1):
        simulation.step(action)
        command = simulation.state_dict()["command"].numpy()
        wanted = decode_action(contract, action.numpy())
        np.testing.assert_array_equal(command, limit_rate(contract, previous, wanted))
        for j, joint in enumerate(contract.joints):
            assert (np.abs(command - previous)[:, j] <= joint.velocity_limit / contract.control_rate + 1e-6).all()
            assert ((command[:, j] >= joint.lower) & (command[:, j] <= joint.upper)).all()
        held_back += int((command != wanted).sum())
        previous = command
    assert held_back > 0  # the limit binds under such actions
    simulation.step(action)
    np.testing.assert_array_equal(simulation.state_dict()["command"].numpy(), np.tile(home, (simulation.n_worlds, 1)))


def test_the_engine_is_given_the_limited_command(simulate, random_actions, monkeypatch):
    prompt = replace(SHORT, randomization=None)
    simulation = simulate(prompt, stagger=False)
    given, step = [], simulation._engine.step
    monkeypatch.setattr(simulation._engine, "step", lambda command: (given.append(command.clone()), step(command)))
    simulation.reset()
    for action in random_actions(simulation, 5):
        simulation.step(action)
        assert torch.equal(given[-1], simulation.state_dict()["command"])
