"""The executable `record`: every topic into one MCAP file, messages as they came, their definitions beside them."""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from pgx_policy_server.spinning import run
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.utilities import remove_ros_args

from pgx_bringup.share import share
from pgx_core.errors import ConfigError

LOOK_PERIOD = 0.1  # s between two looks for new topics
DEPTH = 1000
CHUNK = 1 << 18  # bytes of messages that are written at once, and may be lost
OMITTED = ("/parameter_events", "/rosout")
FIELD_TYPE = re.compile(r"^\s*([\w/]+)(?:\[[^\]]*\])?\s+\w+")
SEPARATOR = "=" * 80


class Recorder:
    """Subscribes to every topic that appears.

    Args:
        file: the recording.

    Raises:
        ConfigError: the package `mcap` is missing.
    """

    def __init__(self, file: Path) -> None:
        try:
            from mcap.writer import Writer
        except ImportError as error:
            raise ConfigError("recording needs the package mcap: pip install mcap-ros2-support") from error
        self.node = Node("recorder")
        self._known = set(OMITTED)  # topics that were looked at
        self._failure: OSError | None = None
        self._stream = file.open("wb")
        self._writer = Writer(self._stream, chunk_size=CHUNK)
        self._writer.start(profile="ros2", library="pgx")
        self._look()
        self.node.create_timer(LOOK_PERIOD, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def check(self) -> None:
        """End where the file cannot be written."""
        if self._failure is not None:
            sys.exit(f"the recording ends here: {self._failure.strerror}")

    def close(self, orderly: bool) -> None:
        """Complete the file, if it can be."""
        with contextlib.suppress(OSError) if self._failure else contextlib.nullcontext():
            self._writer.finish()
            self._stream.close()

    def _look(self) -> None:
        for topic, types in self.node.get_topic_names_and_types():
            offers = [info.qos_profile for info in self.node.get_publishers_info_by_topic(topic)]
            if offers and topic not in self._known:
                self._known.add(topic)
                self._open(topic, types[0], offers)

    def _open(self, topic: str, kind: str, offers: Sequence[QoSProfile]) -> None:
        try:
            text, message_type = full_definition(kind), _message_type(kind)
        except (ImportError, AttributeError, ValueError, OSError) as error:
            # The robot must not be stopped for want of a recording.
            self.node.get_logger().warning(f"{topic} is not recorded: its type {kind} is not known here ({error})")
            return
        schema = self._writer.register_schema(kind, "ros2msg", text.encode())
        take = partial(self._take, self._writer.register_channel(topic, "cdr", schema))
        self.node.create_subscription(message_type, topic, take, _weakest(offers), raw=True)

    def _take(self, channel: int, message: bytes) -> None:
        now = time.time_ns()
        try:
            self._writer.add_message(channel, now, message, now)
        except OSError as error:  # a full disk, say
            self._failure = error


def _weakest(offers: Sequence[QoSProfile]) -> QoSProfile:
    """What every publisher can keep."""
    reliable = all(offer.reliability == ReliabilityPolicy.RELIABLE for offer in offers)
    latched = all(offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers)
    return QoSProfile(
        depth=DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def _message_type(kind: str) -> type:
    package, _, name = kind.split("/")
    found: type = getattr(importlib.import_module(f"{package}.msg"), name)
    return found


def full_definition(kind: str) -> str:
    """The definition of a message and, below it, of every message in it, as MCAP readers want it.

    Args:
        kind: package/msg/Name.
    """
    known = {kind: definition(kind)}
    waiting = [kind]
    while waiting:
        current = waiting.pop()
        for part in _parts(known[current], current.split("/")[0]):
            if part not in known:
                known[part] = definition(part)
                waiting.append(part)
    first, *others = known
    blocks = [known[first]] + [f"{SEPARATOR}\nMSG: {_short(other)}\n{known[other]}" for other in others]
    return "\n".join(blocks)


def definition(kind: str) -> str:
    """The text of the .msg file of package/msg/Name."""
    package, _, name = kind.split("/")
    return (share(package) / "msg" / f"{name}.msg").read_text()


def _parts(text: str, package: str) -> Iterator[str]:
    """The message types of the fields."""
    for line in text.splitlines():
        found = FIELD_TYPE.match(line.split("#")[0])
        if found and ("/" in found[1] or found[1][0].isupper()):
            owner, name = found[1].split("/")[0] if "/" in found[1] else package, found[1].split("/")[-1]
            yield f"{owner}/msg/{name}"


def _short(kind: str) -> str:
    package, _, name = kind.split("/")
    return f"{package}/{name}"


def main() -> None:
    """Entry point of the executable `record`: FILE."""
    arguments = remove_ros_args(sys.argv)[1:]
    if len(arguments) != 1:
        sys.exit("usage: record FILE.mcap")
    run(partial(Recorder, Path(arguments[0])))


if __name__ == "__main__":
    main()
