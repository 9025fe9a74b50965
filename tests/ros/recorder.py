"""A node of the test's own that hears and calls."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from pgx_core.contract import PolicyContract

from .processes import wait_until

COMMANDS = "/forward_position_controller/commands"


@dataclass
class Heard:
    """One message and when it came."""

    arrival: float  # monotonic s
    message: Any


@dataclass
class Recorder:
    """A node in the test process, on a thread of its own, that hears topics and calls services."""

    node: Node
    contract: PolicyContract
    heard: dict[str, list[Heard]] = field(default_factory=lambda: defaultdict(list), repr=False)
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)

    def listen(self, message_type: type, topic: str, reliable: bool = False, latched: bool = False) -> list[Heard]:
        """Record a topic; the list grows as messages come."""
        qos = QoSProfile(
            depth=1000,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
        heard = self.heard[topic]
        self.node.create_subscription(
            message_type, topic, lambda message: heard.append(Heard(time.monotonic(), message)), qos
        )
        return heard

    def wait_for(self, topic: str, condition: Callable[[Any], object], timeout: float = 10.0, after: int = 0) -> Heard:
        """The first message of a topic, from the one numbered `after` on, of which the condition holds."""
        found: list[Heard] = []
        place = after

        def look() -> bool:
            nonlocal place
            while place < len(self.heard[topic]) and not found:
                if condition(self.heard[topic][place].message):
                    found.append(self.heard[topic][place])
                place += 1
            return bool(found)

        wait_until(look, timeout, f"a certain message on {topic} ({len(self.heard[topic])} heard)")
        return found[0]

    def talk(self, message_type: type, topic: str, depth: int = 10) -> Any:
        """A publisher that has found a listener."""
        publisher = self.node.create_publisher(message_type, topic, depth)
        wait_until(lambda: publisher.get_subscription_count() > 0, 10.0, f"someone to listen to {topic}")
        return publisher

    def call(self, service_type: type, name: str, request: Any, timeout: float = 30.0) -> Any:
        """The answer of a service, whose node may only just have been started."""
        fresh = name not in self._clients
        if fresh:
            self._clients[name] = self.node.create_client(service_type, name)
        client = self._clients[name]
        wait_until(client.service_is_ready, timeout, f"the service {name}")
        if fresh:  # this side knows the server; the answer is lost if the server does not know this side yet
            time.sleep(0.3)
        future = client.call_async(request)
        wait_until(future.done, timeout, f"an answer of {name}")
        return future.result()
