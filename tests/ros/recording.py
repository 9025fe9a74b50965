"""A run of the simulated robot and its server, as the executable `record` writes it and public tools read it.

A recording says all that a server needs to do the same again. What it heard is there in its order; between which
readings it was activated is told by its first command (the measured joints) and by the stamp of the event of its first
tick; at which tick it took a wish is told by its event of that.
"""

from __future__ import annotations

import subprocess
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
    """Record a robot that is activated, holds, and pursues one objective after another.

    Each for a second that is counted from when its policy is alone at the wheel.
    """
    writer = start_writer(start, file)
    sim = start("pgx_sim", "sim", bundle_path=str(bundle))
    server = start_server(start, bundle)
    change_state(recorder, Transition.TRANSITION_CONFIGURE)
    wish = recorder.talk(String, WISH)
    wait_until(lambda: recorder.node.count_subscribers(COMMANDS) >= 3, 30.0, "sim, test and recording to hear commands")
    wait_until(lambda: len(recorder.heard[JOINTS]) > LEAD, 30.0, "readings")
    change_state(recorder, Transition.TRANSITION_ACTIVATE)
    wait_until(lambda: recorder.heard[COMMANDS], 10.0, "the first command, which is to hold")
    for name in wishes:
        mark = len(recorder.heard[EVENTS])
        wish.publish(String(data=name))
        recorder.wait_for(EVENTS, lambda m, name=name: (m.target, m.objective) == ("RUN", name), 30.0, mark)
        enough = len(recorder.heard[COMMANDS]) + recorder.contract.control_rate
        wait_until(lambda enough=enough: len(recorder.heard[COMMANDS]) >= enough, 30.0, "a second's commands")
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
    events = [record.content for record in everything if record.topic == EVENTS]
    records = [record for record in everything if record.topic in INPUTS]
    first_tick = next(_slot(event, rate) for event in events if event.reason == "activated")
    places = [_place_of_slot(records, first_tick - 1, rate), _place_of_reading(records, commands[0])]
    switches = [event for event in events if event.kind == "switch"]
    heard = records[max(places) + 1 - LEAD :]
    return Recording(tuple(_with_wishes(heard, switches, rate)), LEAD, commands[:-1])


def _slot(event: Any, rate: float) -> int:
    """Which tick since the clock's zero an event belongs to; its stamp is rounded."""
    return round(stamp_of(event.header.stamp) * rate / NANO)


def _place_of_slot(records: Sequence[Record], slot: int, rate: float) -> int:
    """Where the clock first reaches a tick."""
    begin = slot * round(NANO / rate)
    return next(k for k, r in enumerate(records) if r.topic == CLOCK and stamp_of(r.content.clock) >= begin)


def _place_of_reading(records: Sequence[Record], command: np.ndarray) -> int:
    return next(k for k, r in enumerate(records) if r.topic == JOINTS and np.array_equal(r.content.position, command))


def _with_wishes(records: Sequence[Record], switches: Sequence[Any], rate: float) -> Iterator[Record]:
    """Put every wish right after the tick before the one that took it, but not before the activation."""
    metronome, waiting, period = Metronome(rate), list(switches), round(NANO / rate)
    for place, record in enumerate(records):
        yield record
        metronome.hear(record)
        if place >= LEAD - 1 and waiting and metronome.ros // period + 1 >= _slot(waiting[0], rate):
            yield Record(WISH, waiting.pop(0).objective)
    assert not waiting, "a switch at no tick"
