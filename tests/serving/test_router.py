"""A request becomes one trained objective, or is refused with the reason."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgx_core.contract import ObjectiveContract
from pgx_core.serving import Request
from pgx_core.serving.router import HYSTERESIS, RequestRefused, describe, resolve

SPEEDS = {"crawl": 0.5, "walk": 1.0, "run": 3.0, "back": -2.0}


@pytest.fixture(scope="module")
def manifest(bundle):
    objectives = [ObjectiveContract(name, {"velocity": v}, "walkers", 1.0) for name, v in SPEEDS.items()]
    objectives.append(ObjectiveContract("hop", {"height": 0.3}, "jumpers", 1.0))
    objectives += [
        ObjectiveContract(name, {"velocity": v, "yaw": y}, "walkers", 1.0)
        for name, v, y in (("left", 1.0, 1.0), ("right", 1.0, -1.0), ("spin", 0.0, 1.0))
    ]
    objectives.append(ObjectiveContract("stand", {}, "walkers", 1.0))
    return replace(bundle.manifest, objectives=tuple(objectives))


def odd(name="", weights=(), command=()):
    """A request as no type checker lets it through."""
    request = Request()
    for field, value in (("name", name), ("weights", weights or {}), ("command", command or {})):
        object.__setattr__(request, field, value)
    return request


def refusal(manifest, request, pursued="", distance=0.1):
    with pytest.raises(RequestRefused) as caught:
        resolve(manifest, request, pursued, distance)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_objective_is_found_by_its_name_weight_and_command(manifest):
    for objective in manifest.objectives:
        requests = [Request(objective.name), Request(weights={objective.name: 2.5})]
        requests += [Request(command=objective.command)] if objective.command else []
        for request in requests:
            resolved = resolve(manifest, request, "", 0.0)
            assert (resolved.objective, resolved.note) == (objective.name, "")


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request("wlak"), "unknown objective 'wlak'; did you mean 'walk'?"),
        (Request(), "expected one of name, weights and command, got 0"),
        (Request("walk", weights={"run": 1.0}), "got 2"),
        (Request("walk", {"run": 1.0}, {"velocity": 1.0}), "got 3"),
        (Request(weights={"walk": 1.0, "fly": 0.0}), "unknown objective 'fly'"),
        (Request(weights={"walk": 1.0, "run": -1e-9}), "weights of 0 or more"),
        (Request(weights={"walk": 0.0}), "not all 0"),
        (Request(weights={"walk": math.nan}), "weight 'walk': expected a finite number, got nan"),
        (Request(weights={"walk": math.inf}), "expected a finite number"),
        (odd(weights={"walk": 10**400}), "expected a number"),
        (odd(weights={"walk": None}), "weight 'walk': expected a number, got None"),
        (Request(weights={"walk": 0.8, "run": 0.2}), "'walk' is 20% of the trained range away, expected at most 10%"),
        (Request(command={"velocity": math.nan}), "command 'velocity': expected a finite number"),
        (Request(command={"speed": 1.0}), "commanded by speed; known: height; velocity; velocity, yaw"),
        (Request(command={"velocity": 1.0, "height": 0.3}), "no objective is commanded by velocity, height"),
        (Request(command={"velocity": 2.0}), "'walk' is 20%"),
        (Request(command={"velocity": 0.75}), "'crawl' and 'walk' are equally near"),
        (
            Request(command={"velocity": 0.0}),
            "velocity 0: every objective so commanded would reverse a number, or move",
        ),
        (Request(command={"height": 0.0}), "height 0: every objective"),
        (Request(command={"height": -5.0}), "height -5: every objective"),
        (Request(command={"velocity": -0.1}), "'back' is 38%"),
        (Request(command={"velocity": 0.95, "yaw": 0.0}), "velocity 0.95, yaw 0: every objective"),
        (odd(7), "expected a name as text"),
        (odd(weights=[1.0]), "expected a name as text"),
        (odd(command=[0.0]), "numbers by name"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_reason(manifest, request_, words):
    assert words in refusal(manifest, request_)


def test_a_command_is_clipped_to_the_trained_range_and_says_so(manifest):
    assert resolve(manifest, Request(command={"velocity": 99.0}), "", 0.0).objective == "run"
    resolved = resolve(manifest, Request(command={"velocity": -1e300}), "", 0.0)
    assert (resolved.objective, resolved.note) == ("back", "velocity -1e+300 clipped to -2")
    assert resolve(manifest, Request(command={"height": 8.0}), "", 0.0).note == "height 8 clipped to 0.3"


def test_a_near_command_says_which_objective_serves_it(manifest):
    resolved = resolve(manifest, Request(command={"velocity": 2.8}), "", 0.1)
    assert (resolved.objective, resolved.note) == ("run", "nearest is 'run', 4% of the trained range away")


def test_the_distance_is_the_largest_over_the_numbers_of_a_command(manifest):
    assert "'left' is 20%" in refusal(manifest, Request(command={"velocity": 0.8, "yaw": 0.9}))
    assert resolve(manifest, Request(command={"velocity": 0.92, "yaw": 0.9}), "", 0.1).objective == "left"


def test_a_command_that_wavers_between_two_objectives_does_not_switch_at_every_turn(manifest):
    span = max(SPEEDS.values()) - min(SPEEDS.values())
    middle, step = 0.75, HYSTERESIS * span / 2  # a step of the command changes the difference by twice as much
    for pursued, other in (("crawl", "walk"), ("walk", "crawl")):
        sign = math.copysign(1.0, SPEEDS[other] - SPEEDS[pursued])
        for share, expected in ((0.0, pursued), (0.9, pursued), (1.1, other)):
            command = {"velocity": middle + sign * share * step}
            assert resolve(manifest, Request(command=command), pursued, 0.2).objective == expected


@given(
    velocity=st.floats(allow_nan=False, allow_infinity=False),
    distance=st.floats(0, 1),
    pursued=st.sampled_from(list(SPEEDS)),
)
def test_the_nearest_is_the_nearest(manifest, velocity, distance, pursued):
    """By brute force over the objectives."""
    clipped = max(-2.0, min(velocity, 3.0))
    distances = {
        name: abs(clipped - v) / 5.0 for name, v in SPEEDS.items() if velocity != 0.0 and (velocity > 0.0) == (v > 0.0)
    }
    try:
        found = resolve(manifest, Request(command={"velocity": velocity}), pursued, distance).objective
    except RequestRefused:
        nearest = min(distances.values(), default=1.0)
        assert nearest > distance - HYSTERESIS or sorted(distances.values())[1] == nearest
    else:
        assert distances[found] <= distance
        assert distances[found] <= min(distances.values()) + (HYSTERESIS if found == pursued else 0.0) + 1e-12


ODD = st.none() | st.floats() | st.text(max_size=4) | st.integers() | st.lists(st.floats(), max_size=2)
KEYS = st.sampled_from(["walk", "run", "velocity", "yaw", "", "?", None, 3])


@given(name=ODD | st.sampled_from(["", "walk"]), maps=st.tuples(*[ODD | st.dictionaries(KEYS, ODD, max_size=3)] * 2))
def test_whatever_is_asked_for_is_served_or_refused_in_words(manifest, name, maps):
    request = odd(name, *maps)
    assert isinstance(describe(request), str)
    try:
        assert resolve(manifest, request, "", 0.5).objective in {o.name for o in manifest.objectives}
    except RequestRefused as refused:
        assert str(refused)
