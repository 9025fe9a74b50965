"""A run of the simulated robot and its server, as the executable `record` writes it and public tools read it.

A recording says all that a server needs to do the same again. What it heard is there in its order; which reading it
was activated at is told by its first command (the measured joints) and by the stamp of the diagnostic that says so;
at which tick it took a wish is told by its own event.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from std_msgs.msg import String

from pgx_core.serving import Instant

from .processes import Launcher, Process, executable_path, wait_until
from .recorder import COMMANDS, Recorder

JOINTS, CLOCK, WISH = "/joint_states", "/clock", "/policy_server/objective_name"
INPUTS = (JOINTS, "/imu/data", "/odom", CLOCK)
EVENTS = "/policy_server/events"
NANO = 1_000_000_000
LEAD = 400  # records before the activation that are kept, a second's


@dataclass(frozen=True)
class Record:
    """One message."""

    topic: str
    content: Any  # decoded; of a wish the objective's name
    data: bytes = b""  # as it came


@dataclass(frozen=True)
class Recording:
    """What a server heard, in its order, and what it commanded."""

    records: tuple[Record, ...]  # of the inputs and the wishes
    start: int  # the server was activated before this record
    commands: np.ndarray  # [ticks, joints], the one of the end left out


class Metronome:
    """When a server on a simulated clock ticks, and what time it is there: written anew, from its documentation."""

    def __init__(self, rate: float) -> None:
        self._period = round(NANO / rate)
        self.ros = 0  # ns

    @property
    def now(self) -> Instant:
        """The time."""
        return Instant(1e-9 * self.ros, 1e-9 * self.ros)

    def hear(self, record: Record) -> bool:
        """Take a record; the answer is whether the server ticks."""
        if record.topic != CLOCK:
            return False
        before, self.ros = self.ros, stamp_of(record.content.clock)
        assert self.ros > before
        return self.ros // self._period > before // self._period


def stamp_of(stamp: Any) -> int:
    """ns."""
    return int(NANO * stamp.sec + stamp.nanosec)


def record_run(start: Launcher, recorder: Recorder, bundle: Path, file: Path, wishes: Sequence[str]) -> Recording:
    """Record a robot that is activated, and pursues one objective after another for a second each."""
    writer = start_writer(start, file)
    sim = start("pgx_sim", "sim", bundle_path=str(bundle))
    server = start_server(start, bundle)
    change_state(recorder, Transition.TRANSITION_CONFIGURE)
    wish = recorder.talk(String, WISH)
    wait_until(lambda: recorder.node.count_subscribers(COMMANDS) == 3, 10.0, "sim, test and recording to hear commands")
    wait_until(lambda: len(recorder.heard[JOINTS]) > LEAD, 30.0, "readings")
    change_state(recorder, Transition.TRANSITION_ACTIVATE)
    for name in wishes:
        wish.publish(String(data=name))
        time.sleep(1.0)
    for process in (server, sim, writer):
        assert process.stop() == 0, process.log
    return read(file, recorder.contract.control_rate)


def start_server(start: Launcher, bundle: Path) -> Process:
    """On the simulator's clock, still to be configured."""
    return start("pgx_policy_server", "policy_server", bundle_path=str(bundle), use_sim_time=True, watchdog="")


def start_writer(start: Launcher, file: Path) -> Process:
    """The executable `record`."""
    log = file.with_suffix(".log")
    with log.open("wb") as output:
        command = [str(executable_path("pgx_bringup", "record")), str(file)]
        popen = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    start.processes.append(Process("record", popen, log))
    return start.processes[-1]


def change_state(recorder: Recorder, transition: int) -> None:
    """Of the server."""
    request = ChangeState.Request(transition=Transition(id=transition))
    assert recorder.call(ChangeState, "/policy_server/change_state", request, 30.0).success


def read(file: Path, rate: float) -> Recording:
    """Open it with public tools.

    Args:
        file: MCAP.
        rate: of the server's ticks, Hz.
    """
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    with file.open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        everything = [Record(c.topic, content, m.data) for _, c, m, content in reader.iter_decoded_messages()]
    commands = np.array([record.content.data for record in everything if record.topic == COMMANDS])
    switches = [r.content for r in everything if r.topic == EVENTS and r.content.kind == "switch"]
    records = [record for record in everything if record.topic in INPUTS]
    activated = next(stamp_of(r.content.header.stamp) for r in everything if _says_active(r))
    places = [_place_of_clock(records, activated), _place_of_reading(records, commands[0])]
    first, start = max(places) + 1 - LEAD, LEAD
    return Recording(tuple(_with_wishes(records[first:], switches, rate)), start, commands[:-1])


def _says_active(record: Record) -> bool:
    """Whether it is a diagnostic of the server's in the active state. The first is published on activation."""
    statuses = record.content.status if record.topic == "/diagnostics" else ()
    return any(value.key == "state" and value.value == "active" for status in statuses for value in status.values)


def _place_of_clock(records: Sequence[Record], ros: int) -> int:
    return next(k for k, r in enumerate(records) if r.topic == CLOCK and stamp_of(r.content.clock) == ros)


def _place_of_reading(records: Sequence[Record], command: np.ndarray) -> int:
    return next(k for k, r in enumerate(records) if r.topic == JOINTS and np.array_equal(r.content.position, command))


def _with_wishes(records: Sequence[Record], switches: Sequence[Any], rate: float) -> Iterator[Record]:
    """Put every wish right after the tick before the one that took it, whose clock is at or after the event's stamp."""
    metronome, waiting = Metronome(rate), list(switches)
    period = NANO / rate
    for record in records:
        yield record
        ticks = metronome.hear(record)
        if ticks and waiting and metronome.ros + period >= stamp_of(waiting[0].header.stamp) > metronome.ros:
            yield Record(WISH, waiting.pop(0).objective)
    assert not waiting, "a switch at no tick"
