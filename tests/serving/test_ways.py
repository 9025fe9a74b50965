"""Ways between objectives: only safe switches, the fewest of them, and each waits until the last has settled."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgx_core.errors import BundleError
from pgx_core.serving import Mode, ServingConfig
from pgx_core.serving.controller import blend_of
from pgx_core.serving.switches import SwitchMatrix, SwitchPair, decode_switches, encode_switches
from pgx_core.serving.ways import Ways, survey

NAMES = ("forward", "backward", "jump", "jump_high")


def matrix_of(highs, settling=1.0):
    """A matrix by the upper bounds of its pairs; 0.02 where none is given."""
    pairs = tuple(
        SwitchPair(*ends, 100, 0, 0.0, highs.get(ends, 0.02), 0.5, settling)
        for ends in itertools.permutations(NAMES, 2)
    )
    return SwitchMatrix(1, 0.3, 5.0, dict.fromkeys(NAMES, 1.0), pairs)


BAD = matrix_of({("forward", "backward"): 0.9})
SAFE = ServingConfig().switch_fall_rate


@given(highs=st.dictionaries(st.permutations(NAMES).map(lambda p: (p[0], p[1])), st.floats(0, 1)))
def test_every_way_is_a_chain_of_safe_switches_and_none_is_missed(highs):
    ways = Ways(matrix_of(highs), SAFE, "")
    safe = {e for e in itertools.permutations(NAMES, 2) if highs.get(e, 0.02) <= SAFE}
    for source, target in itertools.permutations(NAMES, 2):
        middle = [n for n in NAMES if n not in (source, target)]
        paths = [(source, *stops, target) for k in range(3) for stops in itertools.permutations(middle, k)]
        open_ = [path for path in paths if set(itertools.pairwise(path)) <= safe]
        walked, first = [source], ways.way(source, target).first
        while first and walked[-1] != target:
            walked.append(first)
            first = ways.way(walked[-1], target).first
        assert (walked[-1] == target) == bool(open_)
        if open_:
            assert len(walked) == min(map(len, open_)) and tuple(walked) in open_


def test_the_neutral_objective_goes_first_where_it_holds():
    assert Ways(BAD, SAFE, "jump_high").way("forward", "backward").first == "jump_high"
    worse = matrix_of({("forward", "backward"): 0.9, ("jump_high", "backward"): 0.9})
    assert Ways(worse, SAFE, "jump_high").way("forward", "backward").first == "jump"


def test_a_stop_that_never_settles_is_none():
    assert (
        Ways(matrix_of({("forward", "backward"): 0.9}, settling=None), SAFE, "").way("forward", "backward").first == ""
    )


def run_to(driver, readings, objective, ticks=400):
    seen = []
    for count in range(ticks):
        tick = driver.tick(readings())
        seen += [(event.source, event.target) for event in tick.events if event.kind == "switch"]
        if tick.objective == objective:
            return count, seen
    return ticks, seen


def test_a_detour_waits_and_tells_both_switches(bundle, readings, drive):
    driver = drive(replace(bundle, switches=BAD)).activate(readings())
    driver.run(readings(), 100)
    answer = driver.select("backward")
    assert answer.accepted and answer.objective == "backward" and answer.reason.startswith("through 'jump' (1.0 s)")
    count, seen = run_to(driver, readings, "backward")
    assert seen == [("forward", "jump"), ("jump", "backward")] and count in (50, 51)


def test_a_new_request_during_the_detour_replaces_the_target(bundle, readings, drive):
    driver = drive(replace(bundle, switches=BAD)).activate(readings())
    driver.run(readings(), 100)
    driver.select("backward")
    driver.run(readings(), 10)
    assert driver.select("jump_high").accepted
    assert run_to(driver, readings, "jump_high")[1] == [("jump", "jump_high")]
    assert driver.run(readings(), 100).objective == "jump_high"


def test_without_a_safe_way_the_request_is_refused_and_nothing_changes(bundle, readings, drive):
    walled = matrix_of({(name, "backward"): 0.9 for name in NAMES if name != "backward"})
    driver = drive(replace(bundle, switches=walled)).activate(readings())
    driver.run(readings(), 100)
    answer = driver.select("backward")
    assert not answer.accepted and "no safe way from 'forward' to 'backward'" in answer.reason
    assert driver.run(readings(), 100).objective == "forward" and driver.controller.mode is Mode.RUN


def test_the_neutral_objective_is_never_refused(bundle, readings, drive):
    walled = matrix_of({(name, "backward"): 0.9 for name in NAMES if name != "backward"})
    driver = drive(replace(bundle, switches=walled), neutral_objective="backward").activate(readings())
    driver.run(readings(), 100)
    answer = driver.select("backward")
    assert answer.accepted and "no safe way" in answer.reason and answer.reason.endswith("it is the neutral objective")
    assert driver.run(readings(), 100).objective == "backward"


def test_a_stale_command_does_not_wait_until_the_last_switch_has_settled(bundle, readings, drive):
    slow = matrix_of({}, settling=3.0)
    driver = drive(replace(bundle, switches=slow), command_timeout_s=0.5, neutral_objective="jump").activate(readings())
    driver.run(readings(), 20)
    driver.select("forward")
    driver.run(readings(), 20)
    driver.select("forward")
    driver.run(readings(), 20)  # the start has settled
    driver.select("backward")
    assert driver.run(readings(), 3).objective == "backward"
    ticks = next(count for count in range(100) if driver.tick(readings()).objective == "jump")
    assert ticks <= 25, "0.5 s after the request, and not after 3 s"


def test_what_is_unmeasured_is_said_and_every_switch_is_direct(bundle, readings, drive):
    assert "unmeasured" in survey(None, ServingConfig())[1]
    ways, words = survey(BAD, ServingConfig(blend_s=0.5))
    assert ways is None and "unmeasured with blend_s 0.5" in words
    driver = drive(bundle).activate(readings())
    driver.run(readings(), 100)
    assert "unmeasured" in driver.controller.switching
    assert driver.select("backward").reason == "" and driver.tick(readings()).objective == "backward"


def test_at_a_fall_rate_of_1_every_switch_is_direct_and_at_once(bundle, readings, drive):
    driver = drive(replace(bundle, switches=BAD), "forward", switch_fall_rate=1.0, dwell_s=0.0).activate(readings())
    driver.run(readings(), 2)
    for name in ("backward", "forward", "jump"):
        assert driver.select(name).reason == ""
        assert driver.tick(readings()).objective == name
    assert "whatever was measured" in driver.controller.switching


def test_a_matrix_survives_its_file_and_a_false_one_is_refused():
    assert decode_switches(encode_switches(BAD), NAMES) == BAD
    for false in (
        replace(BAD, pairs=BAD.pairs[1:]),
        replace(BAD, schema_version=9),
        replace(BAD, pairs=(replace(BAD.pairs[0], falls=101), *BAD.pairs[1:])),
        replace(BAD, starts={}),
    ):
        with pytest.raises(BundleError, match=r"switch_matrix\.json: expected|contradict"):
            decode_switches(encode_switches(false), NAMES)


def test_a_blend_is_the_setting_or_else_what_the_switches_were_measured_with():
    measured = replace(BAD, blend_s=0.1)
    assert [blend_of(switches, ServingConfig()) for switches in (measured, None)] == [0.1, 0.3]
    assert [blend_of(switches, ServingConfig(blend_s=0.0)) for switches in (measured, None)] == [0.0, 0.0]
