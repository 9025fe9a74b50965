"""The sole right to command a topic on this machine. Discovery may be late to tell of another commander, or fail to."""

from __future__ import annotations

import hashlib
import socket
import sys

from rclpy.node import Node


class Claim:
    """A name that one process of the machine can have at a time; the system takes it back when the process ends.

    It is an abstract socket of Linux; elsewhere everybody is granted it. Containers with networks of their own do not
    see each other's.

    Args:
        node: whose DDS domain it is.
        topic: of the commands, resolved.
    """

    def __init__(self, node: Node, topic: str) -> None:
        words = f"{node.context.get_domain_id()} {topic}"
        self._name = "\0pgx/" + hashlib.sha256(words.encode()).hexdigest()  # a topic may be longer than a socket's name
        self._held: socket.socket | None = None

    def take(self) -> bool:
        """Whether it is this one's now."""
        if self._held is None and sys.platform == "linux":
            held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                held.bind(self._name)
            except OSError:
                held.close()
                return False
            self._held = held
        return True

    def release(self) -> None:
        """Leave it to others."""
        if self._held is not None:
            self._held.close()
            self._held = None
