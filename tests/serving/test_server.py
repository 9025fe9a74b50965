"""The law of the server: what is not finite never comes out, and commands never jump."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pgx_core.errors import BundleError, ConfigError
from pgx_core.export.onnx import ServedPolicy, without_objective
from pgx_core.observation import decode_action, observe
from pgx_core.serving import PolicyServer
from pgx_core.serving.golden import PolicyOutput
from pgx_core.serving.policy import PolicySession

KINDS = ("position", "conditioned", "effort")
OBJECTIVES = ("forward", "backward", "jump", "jump_high")
DT = 1 / 50.0

# One step of a story: the objective to select or none, and the seed of the readings.
STEPS = st.lists(st.tuples(st.sampled_from((None, *OBJECTIVES)), st.integers(0, 1000)), min_size=2, max_size=25)
BLENDS = st.sampled_from((0.0, 0.05, 0.3))


def limits(bundle):
    return np.array([(joint.lower, joint.upper) for joint in bundle.manifest.contract.joints]).T


@pytest.fixture(params=KINDS)
def any_bundle(request, bundles):
    return bundles[request.param]


def test_trained_exported_and_served_answers_agree(contents, bundle, readings):
    """torch on a hand-built observation against the whole serving path."""
    contract = contents.contract
    for group in contents.groups:
        oracle = ServedPolicy(without_objective(group.policy, 4), contract)
        objective = next(o.name for o in contents.objectives if o.group == group.name)
        server = PolicyServer(bundle, objective, blend_s=0.0)
        last_action = np.zeros(3)
        for seed in range(20):
            now = readings(seed)
            vector = observe(contract, replace(now, last_action=last_action), np.concatenate)
            with torch.no_grad():
                action, command = oracle(torch.tensor(vector[None], dtype=torch.float32))
            tick = server.tick(now)
            np.testing.assert_allclose(tick.action, action[0], atol=1e-5)
            np.testing.assert_allclose(
                bundle.sessions[group.name].run(vector.astype(np.float32)).command, command[0], atol=1e-5
            )
            last_action = action[0].double().numpy()


def test_effort_commands_are_the_policys_own_once_the_ramp_is_over(bundles, readings):
    bundle = bundles["effort"]
    server = PolicyServer(bundle, "jump", blend_s=0.1)
    ticks = [server.tick(readings(seed)) for seed in range(10)]
    action = ticks[-2].action
    vector = observe(bundle.manifest.contract, replace(readings(9), last_action=action), np.concatenate)
    expected = bundle.sessions["jumpers"].run(vector.astype(np.float32)).command
    np.testing.assert_allclose(ticks[-1].command, expected, atol=1e-6)


@settings(max_examples=60)
@given(steps=STEPS, blend_s=BLENDS, kind=st.sampled_from(("position", "conditioned")))
def test_position_commands_never_move_faster_than_the_joints(bundles, readings, steps, blend_s, kind):
    bundle = bundles[kind]
    lower, upper = limits(bundle)
    reach = np.array([joint.velocity_limit for joint in bundle.manifest.contract.joints]) * DT
    server = PolicyServer(bundle, "forward", blend_s)
    previous = np.clip(readings(steps[0][1]).joint_positions, lower, upper)
    for objective, seed in steps:
        if objective is not None:
            server.select(objective)
        tick = server.tick(readings(seed))
        assert not tick.refusal
        assert (np.abs(tick.command - previous) <= reach + 1e-12).all()
        assert ((lower <= tick.command) & (tick.command <= upper)).all()
        previous = tick.command


@settings(max_examples=40)
@given(steps=STEPS, blend_s=st.sampled_from((0.1, 0.3)))
def test_a_switch_moves_effort_commands_by_at_most_the_range_over_the_blend(bundles, readings, steps, blend_s):
    """Effort has no rate limit of its own: what the policy itself changes comes on top, between switches."""
    bundle = bundles["effort"]
    contract = bundle.manifest.contract
    lower, upper = limits(bundle)
    server = PolicyServer(bundle, "forward", blend_s)
    allowed = (upper - lower) * DT / blend_s + 1e-6
    previous, group, raw = np.zeros(3), None, None
    for objective, seed in steps:
        if objective is not None:
            server.select(objective)
        tick = server.tick(readings(seed))
        wanted = decode_action(contract, tick.action)
        own = np.zeros(3) if tick.group != group else np.abs(wanted - raw)
        assert (np.abs(tick.command - previous) <= own + allowed).all()
        assert ((lower <= tick.command) & (tick.command <= upper)).all()
        previous, group, raw = tick.command, tick.group, wanted


BAD = st.sampled_from((np.nan, np.inf, -np.inf, 1e300))
PLACES = ("joint_positions", "joint_velocities", "orientation", "angular_velocity", "sensors")
TERM_OF = {"orientation": "projected_gravity", "sensors": "sensor:touch"}


@settings(max_examples=100)
@given(
    bad=BAD,
    place=st.sampled_from(PLACES),
    index=st.integers(0, 3),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 99),
)
def test_what_is_not_finite_is_refused_by_name_and_never_comes_out(bundles, readings, bad, place, index, kind, seed):
    server = PolicyServer(bundles[kind], "jump")
    good = readings(seed)
    before = server.tick(good)
    tick = server.tick(_spoil(good, place, index, bad))
    assert tick.refusal == f"observation term '{TERM_OF.get(place, place)}' is not finite"
    np.testing.assert_array_equal(tick.command, before.command)
    np.testing.assert_array_equal(tick.action, before.action)
    after, untroubled = server.tick(good), PolicyServer(bundles[kind], "jump")
    untroubled.tick(good)
    np.testing.assert_array_equal(after.command, untroubled.tick(good).command)


def _spoil(good, place, index, value):
    if place == "sensors":
        return replace(good, sensors={"touch": np.array([0.0, value])})
    array = getattr(good, place).copy()
    array[index % len(array)] = value
    return replace(good, **{place: array})


@pytest.mark.parametrize(
    "changes",
    [
        {"orientation": None},
        {"sensors": {}},
        {"joint_velocities": np.zeros(4)},
        {"joint_positions": np.zeros(1)},
        {"joint_velocities": None},
        {"angular_velocity": np.float64(0.0)},
        {"sensors": {"touch": np.zeros((5, 2))}},
    ],
)
def test_readings_that_are_missing_or_misshapen_are_refused(any_bundle, readings, changes):
    server = PolicyServer(any_bundle, "jump")
    before = server.tick(readings())
    tick = server.tick(readings(1, **changes))
    assert tick.refusal
    np.testing.assert_array_equal(tick.command, before.command)


def test_nothing_is_commanded_before_the_first_good_readings(any_bundle, readings):
    server = PolicyServer(any_bundle, "jump")
    tick = server.tick(readings(joint_velocities=np.full(3, np.nan)))
    assert tick.command is None
    assert tick.refusal
    np.testing.assert_array_equal(tick.action, np.zeros(3))
    assert server.tick(readings()).command is not None


class _Broken(PolicySession):
    """A session whose network has gone wrong: the one fault that no real bundle can be made to show."""

    def __init__(self, output):
        self.run = lambda observation: output


@pytest.mark.parametrize(("action", "command"), [(np.nan, 0.0), (0.0, np.nan), (0.0, np.inf)])
def test_an_answer_that_is_not_finite_is_refused(bundle, readings, action, command):
    output = PolicyOutput(np.full(3, action, np.float32), np.full(3, command, np.float32))
    sessions = {**bundle.sessions, "jumpers": _Broken(output)}
    server = PolicyServer(replace(bundle, sessions=sessions), "forward")
    before = server.tick(readings())
    assert server.select("jump") == "jumpers"
    tick = server.tick(readings(1))
    assert tick.refusal == "group 'jumpers' gave an answer that is not finite"
    np.testing.assert_array_equal(tick.command, before.command)


def test_an_objective_is_served_by_its_group(any_bundle, readings):
    server = PolicyServer(any_bundle, "forward")
    for objective in any_bundle.manifest.objectives:
        assert server.select(objective.name) == objective.group
        tick = server.tick(readings())
        assert (tick.objective, tick.group) == (objective.name, objective.group)


def test_an_unknown_objective_is_refused_with_the_nearest_and_changes_nothing(bundle, readings):
    server = PolicyServer(bundle, "jump")
    with pytest.raises(BundleError, match="did you mean 'forward'\\? known: forward, backward, jump, jump_high"):
        server.select("foward")
    with pytest.raises(BundleError, match="unknown objective 'xyz'; known: forward"):
        server.select("xyz")
    assert server.tick(readings()).objective == "jump"
    with pytest.raises(BundleError, match="unknown objective"):
        PolicyServer(bundle, "fly")


@pytest.mark.parametrize("blend_s", [-0.1, 5.1, float("nan")])
def test_a_blend_out_of_range_is_refused(bundle, blend_s):
    with pytest.raises(ConfigError, match="blend_s"):
        PolicyServer(bundle, "jump", blend_s)


def test_a_conditioned_policy_sees_the_objective(bundles, readings):
    actions = [PolicyServer(bundles["conditioned"], name).tick(readings()).action for name in OBJECTIVES]
    assert len(np.unique(actions, axis=0)) == len(OBJECTIVES)


def test_a_switch_that_changes_no_policy_disturbs_nothing(bundle, readings):
    switched, steady = PolicyServer(bundle, "forward"), PolicyServer(bundle, "forward")
    for seed in range(20):
        if seed == 12:
            switched.select("backward")  # the same group, which does not see the objective
        np.testing.assert_array_equal(switched.tick(readings(seed)).command, steady.tick(readings(seed)).command)


def test_ticks_do_not_share_arrays(any_bundle, readings):
    server = PolicyServer(any_bundle, "forward")
    first = server.tick(readings())
    first.command[:] = np.nan
    first.action[:] = np.nan
    assert np.isfinite(server.tick(readings()).command).all()
    assert np.isfinite(server.tick(readings()).action).all()


def test_the_same_story_gives_the_same_commands(any_bundle, readings):
    def story():
        server = PolicyServer(any_bundle, "forward")
        for seed in range(10):
            server.select(OBJECTIVES[seed % 4])
            yield server.tick(readings(seed)).command

    np.testing.assert_array_equal(list(story()), list(story()))
