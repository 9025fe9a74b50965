"""Domain randomisation: off it changes nothing, and each range has its effect, within its bounds and no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pgx_core.errors import SuiteError
from pgx_core.objectives.arm import SUITE as ARM
from pgx_core.objectives.objective import Physics, Randomization, Reset
from pgx_core.objectives.quadruped import SUITE as QUADRUPED
from pgx_core.objectives.suites import SIGNS, TINY
from pgx_core.simulation.disturbance import combine, draw_physics
from pgx_core.simulation.engines import make_engine
from pgx_core.simulation.robot_model import compile_robot, vary_physics
from pgx_core.simulation.simulation import Simulation, SimulationConfig

N = 40


def simulate(suite, randomization=None, seed=0, worlds=N, backend="mujoco"):
    suite = replace(suite, randomization=randomization)
    return Simulation(suite, np.zeros(worlds, np.int64), seed, SimulationConfig(backend, threads=1), stagger=False)


def rollout(simulation, steps=6):
    """Observations after each step of one random sequence of actions, the same for every simulation."""
    generator = torch.Generator().manual_seed(1)
    rows = [simulation.reset()]
    for _ in range(steps):
        actions = torch.rand(1, simulation.robot.contract.action_size, generator=generator) - 0.5
        rows.append(simulation.step(actions.expand(simulation.n_worlds, -1)).observations)
    return torch.stack(rows)


def columns(simulation, source):
    """Where a source lies in the observation."""
    start = 0
    for term in simulation.robot.contract.observation:
        if term.source == source:
            return slice(start, start + term.size)
        start += term.size
    raise KeyError(source)


@pytest.mark.parametrize("suite", [SIGNS, QUADRUPED], ids=["signs", "quadruped"])
def test_ranges_of_no_width_change_nothing(suite):
    plain, randomised = simulate(suite, worlds=3), simulate(suite, Randomization(), worlds=3)
    torch.testing.assert_close(rollout(plain)[0], rollout(randomised)[0], atol=0.3, rtol=0)  # other random starts
    engines = [make_engine(s.suite, s.robot, s.objectives, SimulationConfig(threads=1), 5) for s in (plain, randomised)]
    start = np.tile(plain.robot.home_qpos, (3, 1))
    for engine in engines:
        engine.reset(torch.ones(3, dtype=torch.bool), torch.from_numpy(start), torch.zeros(3, plain.robot.model.nv))
        engine.step(torch.full((3, plain.robot.contract.action_size), 0.1))
    assert all(torch.equal(one, other) for one, other in zip(*(engine.read() for engine in engines), strict=True))


def test_physics_is_drawn_within_its_ranges_and_once_per_variant():
    config = Randomization(friction=(0.5, 1.2), mass=(0.9, 1.1), actuator_strength=(0.8, 0.9), variants=200)
    drawn = draw_physics(config, np.random.default_rng(0))
    assert len(set(drawn)) == 200
    for name in ("friction", "mass", "actuator_strength"):
        lowest, highest = getattr(config, name)
        values = np.array([getattr(physics, name) for physics in drawn])
        assert ((values >= lowest) & (values <= highest)).all() and np.ptp(values) > 0.9 * (highest - lowest)
    assert all(physics.gravity == 1.0 for physics in drawn)
    assert combine(Physics(mass=1.2), Physics(mass=0.5, friction=2.0)) == Physics(mass=0.6, friction=2.0)


def test_worlds_share_the_variants_in_turn_and_other_seeds_have_others():
    config = Randomization(mass=(0.5, 1.5), variants=4)
    first = {}
    for seed in (0, 1):
        robot = compile_robot(SIGNS.robot)
        suite = replace(SIGNS, randomization=config)
        models = make_engine(suite, robot, np.zeros(10, np.int64), SimulationConfig(), seed)._models
        masses = [float(model.body_mass.sum()) for model in models]
        assert masses[:4] == masses[4:8] and len(set(masses)) == 4
        expected = [vary_physics(robot.model, p) for p in draw_physics(config, np.random.default_rng(seed))]
        np.testing.assert_allclose(masses[:4], [model.body_mass.sum() for model in expected])
        first[seed] = masses[0]
    assert first[0] != first[1]


@pytest.mark.parametrize("ticks", [0, 1, 3])
def test_a_command_arrives_so_many_ticks_later(ticks):
    """The fake robot is pushed by what arrives: its first speed tells when that was."""
    simulation = simulate(TINY, Randomization(delay=(ticks, ticks)), worlds=2, backend="fake")
    before = simulation.reset()[:, 0]
    for step in range(5):
        after = simulation.step(torch.ones(2, 1)).observations[:, 0]
        assert (after != before).all() == (step >= ticks)
        before = after


def test_delays_differ_between_worlds_and_cover_their_range():
    simulation = simulate(TINY, Randomization(delay=(1, 3)), worlds=200, backend="fake")
    simulation.reset()
    delays = simulation.state_dict()["disturbance"]["delay"]
    assert sorted(delays.unique().tolist()) == [1, 2, 3]


def test_noise_reaches_the_named_source_alone_and_within_its_amplitude():
    noise = {"joint_positions": 0.02}
    clean, noisy = (
        simulate(QUADRUPED, Randomization(), worlds=N),
        simulate(QUADRUPED, Randomization(noise=noise), worlds=N),
    )
    difference = rollout(noisy) - rollout(clean)
    where = columns(clean, "joint_positions")
    assert difference[0, :, where].abs().max() > 0.015 and difference[..., where].abs().max() <= 0.02 + 1e-6
    assert abs(float(difference[..., where].mean())) < 1e-3
    difference[..., where] = 0.0
    assert not difference.any()  # neither other readings nor what the critic alone sees


def test_a_push_changes_the_speed_of_the_base_and_of_some_worlds_only():
    push = Randomization(push=0.5, push_interval=0.1)  # every fifth control step
    still, pushed = simulate(QUADRUPED, Randomization(), worlds=200), simulate(QUADRUPED, push, worlds=200)
    for simulation in (still, pushed):
        simulation.reset()
        simulation.load_state_dict({**simulation.state_dict(), "engine": resting(simulation)})
        simulation.step(torch.zeros(200, 12))
    change = (pushed._engine.read()[1] - still._engine.read()[1])[:, :2]
    moved = change.abs().sum(1) > 1e-3
    assert 20 < int(moved.sum()) < 65
    assert change.abs().max() < 0.6 and change[moved].std() > 0.1


def resting(simulation):
    n, model = simulation.n_worlds, simulation.robot.model
    home = torch.from_numpy(np.tile(simulation.robot.home_qpos, (n, 1)))
    simulation._engine.reset(torch.ones(n, dtype=torch.bool), home, torch.zeros(n, model.nv))
    return simulation._engine.snapshot()


def test_a_randomised_simulation_continues_bit_for_bit():
    config = Randomization(mass=(0.8, 1.2), delay=(1, 3), noise={"joint_velocities": 0.5}, push=0.5, push_interval=0.2)
    one, other = simulate(QUADRUPED, config, worlds=6), simulate(QUADRUPED, config, worlds=6)
    one.reset(), other.reset()
    action = torch.full((6, 12), 0.2)
    for _ in range(4):
        seen = one.step(action).observations
    assert torch.equal(other.load_state_dict(one.state_dict()), seen)
    for _ in range(6):
        assert torch.equal(one.step(action).observations, other.step(action).observations)


def halfway(simulation, worlds):
    """Let the worlds move apart, then end the episodes of the given ones with the next step."""
    n, joints = simulation.n_worlds, simulation.robot.contract.action_size
    simulation.reset()
    actions = 0.6 * torch.rand(n, joints, generator=torch.Generator().manual_seed(1)) - 0.3
    for _ in range(3):
        simulation.step(actions)
    elapsed = torch.zeros(n, dtype=torch.int64)
    elapsed[worlds] = simulation.episode_steps - 1
    simulation.load_state_dict({**simulation.state_dict(), "elapsed": elapsed})
    simulation.step(actions)
    return simulation


def sources(simulation, new):
    """For each new episode the world that its robot moves as, None where it starts at rest."""
    state = simulation.state_dict()
    rest = [i for i in range(simulation.n_worlds) if i not in new]
    like = lambda i: [j for j in rest if torch.equal(state["action"][i], state["action"][j])]  # noqa: E731
    return {i: (like(i) or [None])[0] for i in new}


@pytest.mark.parametrize("config", [None, Randomization()], ids=["exact", "randomised"])
def test_without_switches_every_episode_starts_at_rest(config):
    new = list(range(10))
    simulation = halfway(simulate(QUADRUPED, config), new)
    assert set(sources(simulation, new).values()) == {None}
    assert not simulation.state_dict()["action"][new].any()


@pytest.mark.parametrize("backend", ["mujoco", "warp"])
def test_a_switched_episode_goes_on_from_what_a_running_world_does(backend):
    if backend == "warp":
        pytest.importorskip("mujoco_warp", reason="needs `make warp`")
    new = list(range(10, 30))
    simulation = halfway(simulate(QUADRUPED, Randomization(switched=0.5, delay=(2, 2)), backend=backend), new)
    state, found = simulation.state_dict(), sources(simulation, new)
    switched = {i: j for i, j in found.items() if j is not None}
    assert 4 <= len(switched) <= 16
    qpos, qvel, _ = simulation._engine.read()
    for i, j in switched.items():
        torch.testing.assert_close(qpos[i, 2:], qpos[j, 2:], rtol=0, atol=1e-6)
        assert torch.equal(qvel[i], qvel[j]) and not torch.equal(qpos[i, :2], qpos[j, :2])
        assert torch.equal(state["command"][i], state["command"][j])
        assert torch.equal(state["touch_time"][i], state["touch_time"][j]) and state["elapsed"][i] == 0
        assert torch.equal(state["disturbance"]["issued"][:, i], state["command"][j].expand(3, -1))
    fresh = [i for i, j in found.items() if j is None]
    assert not state["action"][fresh].any() and not state["touch_time"][fresh].any()
    assert len({j for j in switched.values()}) > 2


def test_a_switch_leaves_the_target_to_the_new_objective():
    simulation = halfway(simulate(ARM, Randomization(switched=1.0)), [0, 1])
    found, qpos = sources(simulation, [0, 1]), simulation._engine.read()[0]
    own = list(simulation.robot.joint_qpos)
    others = [column for column in range(qpos.shape[1]) if column not in own]
    assert others and None not in found.values()
    for i, j in found.items():
        assert torch.equal(qpos[i, own], qpos[j, own]) and not torch.equal(qpos[i, others], qpos[j, others])


def test_where_every_episode_ends_at_once_there_is_none_to_go_on_from():
    simulation = halfway(simulate(QUADRUPED, Randomization(switched=1.0)), list(range(N)))
    assert not simulation.state_dict()["action"].any()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mass": (1.2, 0.8)}, r"randomization.mass: expected 0 < lowest <= highest, got \(1.2, 0.8\)"),
        ({"friction": (0.0, 1.0)}, "randomization.friction"),
        ({"delay": (-1, 2)}, "randomization.delay: expected 0 <= lowest"),
        ({"variants": 0}, "randomization.variants: expected 1 or more, got 0"),
        ({"noise": {"joint_positions": float("nan")}}, "randomization.noise: expected 0 or more"),
        ({"push": -1.0}, "randomization.push: expected 0 or more"),
        ({"push_interval": 0.0}, "randomization.push_interval: expected above 0"),
        ({"push_interval": float("inf")}, "randomization.push_interval: expected above 0 and finite, got inf"),
        ({"switched": 1.5}, "randomization.switched: expected 0 to 1, got 1.5"),
    ],
)
def test_an_impossible_range_is_refused(fields, message):
    with pytest.raises(SuiteError, match=message):
        Randomization(**fields)


def test_noise_on_what_is_not_observed_is_refused():
    with pytest.raises(SuiteError, match=r"expected observed sources \(joint_velocities, last_action\), got 'odour'"):
        simulate(TINY, Randomization(noise={"odour": 1.0}))


def test_a_named_joint_starts_within_its_own_range():
    reset = Reset(positions={"rail": (2.0, 3.0)}, velocities={"rail": (-1.0, -1.0)})
    suite = replace(TINY, objectives=tuple(replace(o, reset=reset) for o in TINY.objectives))
    simulation = simulate(suite)
    assert (simulation.reset()[:, 0] == -1.0).all()
    positions = simulation._engine.read()[0][:, 0]
    assert positions.min() > 2.0 and positions.max() < 3.0 and positions.std() > 0.15
    lost = replace(reset, positions={"road": (0.0, 1.0)})
    with pytest.raises(SuiteError, match=r"reset.positions: expected a hinge or slide \(rail\), got 'road'"):
        simulate(replace(suite, objectives=tuple(replace(o, reset=lost) for o in TINY.objectives)))


@pytest.mark.parametrize("ends", [(0.6, 0.5), (float("nan"), 0.5), (0.0, float("inf"))])
def test_a_target_from_no_range_is_refused(ends):
    first, *others = ARM.objectives
    lost = replace(first, reset=replace(first.reset, positions={**first.reset.positions, "target_x": ends}))
    message = f"objective '{first.name}': scene joint 'target_x': expected lowest <= highest, got "
    with pytest.raises(SuiteError, match=message):
        simulate(replace(ARM, objectives=(lost, *others)))
