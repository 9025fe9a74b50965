"""A thousand switches at random moments on a machine that is kept busy: each is acknowledged, none is a jump.

How long a switch takes in seconds of the machine's clock is measured by `benchmarks/serving_switches.py`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest
from std_msgs.msg import String

from .law import Law
from .processes import die_with_us
from .system import EVENTS, OBJECTIVES, RATE, TICK, VELOCITY_LIMIT, System, running_system

SWITCHES = 1000
DWELL = TICK  # s
PAUSES = (DWELL, DWELL + TICK)  # s from a switch to the next wish, at random: at any moment of a tick
LATENCY = 0.04  # s from a wish to the first command of its policy
HOG = "while True: pass"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, laws: Law) -> Iterator[System]:
    """Without a blend, so that the rate limit alone keeps the commands smooth."""
    with running_system(tmp_path_factory.mktemp("switching"), laws, blend_s=0.0, dwell_s=DWELL) as system:
        yield system


@pytest.fixture
def busy() -> Iterator[None]:
    """A process that takes all the time of a core it gets."""
    hog = subprocess.Popen([sys.executable, "-c", HOG], preexec_fn=die_with_us)
    yield
    hog.kill()
    hog.wait()


def test_a_thousand_switches_under_load(system: System, busy: None) -> None:
    system.begin()
    mark, counted = system.mark(), len(system.commands)
    wishes, sent = _wish(system, np.random.default_rng(0))
    followed = [h for h in system.heard[EVENTS][mark:] if h.message.kind == "switch"]
    assert [h.message.target for h in followed] == wishes, "each wish is followed once, in its order"
    reported = np.array([h.message.latency for h in followed])  # in simulated seconds
    through = np.array([h.arrival for h in followed]) - sent  # until the event is sent, right after the command
    for name, values in (("reported", reported), ("end to end", through)):
        p50, p99 = 1e3 * np.percentile(values, (50, 99))
        print(f"{name} latency, ms: p50 {p50:.1f}, p99 {p99:.1f}, max {1e3 * values.max():.1f}")
    assert np.percentile(reported, 99) <= LATENCY
    assert np.median(through) <= LATENCY
    commands = np.array([h.message.data for h in system.commands[counted:]])
    moved = np.abs(np.diff(commands, axis=0)).max(axis=1)
    assert (moved > 0.99 * VELOCITY_LIMIT / RATE).sum() > SWITCHES, "the rate limit was put to the test"
    system.end()


def _wish(system: System, random: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """Objectives of the two groups in turn, each a random while after the last was followed; and when, monotonic s."""
    names = [[name for name, (_, group) in OBJECTIVES.items() if group == wanted] for wanted in ("quick", "calm")]
    wishes, sent = [], []
    for k in range(SWITCHES):
        time.sleep(random.uniform(*PAUSES))
        mark = system.mark()
        wishes.append(str(random.choice(names[k % 2])))
        sent.append(time.monotonic())
        system.wish.publish(String(data=wishes[-1]))
        system.event(mark, kind="switch", target=wishes[-1])
    return wishes, np.array(sent)
