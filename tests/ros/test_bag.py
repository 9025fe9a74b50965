"""A recording opens with public tools, and a server that hears it again gives the same commands."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from nav_msgs.msg import Odometry
from pgx_msgs.msg import PolicyStatus
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import String

from . import recording as bag
from .processes import Launcher, wait_until
from .recorder import COMMANDS, Recorder

if not all(importlib.util.find_spec(package) for package in ("mcap_ros2", "rosbags")):
    pytest.skip("needs mcap-ros2-support and rosbags", allow_module_level=True)

TYPES = dict(zip(bag.INPUTS, (JointState, Imu, Odometry, Clock), strict=True))
STATUS = "/policy_server/status"
TOLERANCE = 1e-5  # rad
WISHES = ("walk", "run", "stand", "sprint")


class Player:
    """Sends records as they are, one after the other, as the robot did."""

    def __init__(self, recorder: Recorder) -> None:
        qos = QoSProfile(depth=1000, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._out = {topic: recorder.node.create_publisher(kind, topic, qos) for topic, kind in TYPES.items()}
        self._out[bag.WISH] = recorder.node.create_publisher(String, bag.WISH, 10)
        # The server's node has a clock of its own besides the one it ticks by.
        enough = {topic: 2 if topic == bag.CLOCK else 1 for topic in self._out}
        wait_until(
            lambda: all(out.get_subscription_count() >= enough[topic] for topic, out in self._out.items()),
            10.0, "a listening server",
        )  # fmt: skip

    def repeat(self, records: Sequence[bag.Record], done: Callable[[], bool]) -> None:
        """Send the last of each input, the clock before all, until it is done.

        What comes before a subscription knows its publisher is lost; the same again changes nothing.
        """
        last = {record.topic: record for record in records}

        def sent_and_done() -> bool:
            for topic in (bag.CLOCK, *TYPES):
                self.send(last[topic])
            time.sleep(0.1)
            return done()

        wait_until(sent_and_done, 15.0, "the server to have heard everything")

    def send(self, record: bag.Record) -> None:
        """Publish it."""
        self._out[record.topic].publish(record.data or String(data=record.content))


def replay(recorder: Recorder, recording: bag.Recording) -> np.ndarray:
    """The commands [ticks, joints] of a configured server that hears the recording.

    What needs an order is awaited: the activation its readings, the next record the command of a tick, and a tick
    the wish before it.
    """
    player, metronome = Player(recorder), bag.Metronome(recorder.contract.control_rate)
    heard, status = recorder.heard[COMMANDS], recorder.heard[STATUS]
    before = recording.records[: recording.start]
    for record in before:
        metronome.hear(record)

    def ready() -> bool:
        last = status[-1].message if status else PolicyStatus()
        return bool(last.ages) and np.isfinite(last.ages).all() and bag.stamp_of(last.header.stamp) == metronome.ros

    player.repeat(before, ready)
    bag.change_state(recorder, Transition.TRANSITION_ACTIVATE)
    first = expected = len(heard)
    for record in recording.records[recording.start :]:
        player.send(record)
        if metronome.hear(record):
            expected += 1
            wait_until(lambda: len(heard) >= expected, 10.0, f"command {expected - first}")  # noqa: B023
        if expected - first == len(recording.commands):
            break
    return np.array([command.message.data for command in heard[first:]])


def open_with_rosbags(file: Path) -> dict[str, list[Any]]:
    """Every message, decoded by the definitions in the file and by no others."""
    from mcap.reader import make_reader
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store, messages = get_typestore(Stores.EMPTY), {}
    with file.open("rb") as stream:
        for schema, channel, message in make_reader(stream).iter_messages():
            if channel.topic not in messages:
                store.register(get_types_from_msg(schema.data.decode(), schema.name))
            messages.setdefault(channel.topic, []).append(store.deserialize_cdr(message.data, schema.name))
    return messages


def test_a_recording_opens_with_public_tools_and_replays_to_the_same_commands(
    start: Launcher, recorder: Recorder, runner_bundle: Path, tmp_path: Path
) -> None:
    file = tmp_path / "run.mcap"
    recording = bag.record_run(start, recorder, runner_bundle, file, WISHES)

    opened = open_with_rosbags(file)
    assert [message.data for message in opened[bag.WISH]] == list(WISHES)
    np.testing.assert_array_equal([message.data for message in opened[COMMANDS]][:-1], recording.commands)
    assert set(bag.INPUTS) <= set(opened)

    bag.start_server(start, runner_bundle)
    recorder.listen(PolicyStatus, STATUS, reliable=True)
    bag.change_state(recorder, Transition.TRANSITION_CONFIGURE)
    replayed = replay(recorder, recording)
    assert np.ptp(recording.commands, axis=0).max() > 0.01, "the robot was moved"
    np.testing.assert_allclose(replayed, recording.commands, rtol=0.0, atol=TOLERANCE)
