"""The two clocks a loop can run by: the machine's, with a thread of its own, or a simulator's `/clock`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from pgx_core.serving import Instant

Beat = Callable[[Instant, int], None]  # the time, and how many deadlines were missed since the last beat

ROUNDING = 1_000  # ns that a simulator's stamp may fall short of a deadline


class WallMetronome:
    """Beats at absolute deadlines on a thread of its own. Late deadlines are skipped, never caught up in a burst.

    Args:
        rate: Hz.
    """

    def __init__(self, rate: float) -> None:
        self._period = 1.0 / rate
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.failure: BaseException | None = None  # what ended the thread; for the main thread to raise

    def now(self) -> Instant:
        """The time."""
        return Instant(time.monotonic(), time.time())

    def start(self, beat: Beat) -> None:
        """Begin to beat."""
        self._stopping, self.failure = False, None
        self._thread = threading.Thread(target=self._run, args=(beat,), name="metronome")
        self._thread.start()

    def stop(self) -> None:
        """End after the beat that runs now, if one does."""
        self._stopping = True
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def close(self) -> None:
        """There is nothing to free."""

    def _run(self, beat: Beat) -> None:
        deadline, missed = time.monotonic(), 0
        try:
            while not self._stopping:
                beat(self.now(), missed)
                deadline += self._period
                # Python sleeps until an absolute time on the monotonic clock, so lateness does not add up.
                time.sleep(max(0.0, deadline - time.monotonic()))
                # After the sleep, which is where a process that is stopped stands still.
                missed = max(0, int((time.monotonic() - deadline) / self._period))
                deadline += missed * self._period
        except BaseException as error:  # a thread's exception would vanish, and the robot with it
            self.failure = error


class SimulatedMetronome:
    """Beats whenever `/clock` passes a multiple of the period, on the thread that hears the sensors.

    Arrival order alone decides which readings a beat sees: what arrived before the `/clock` message that reaches a
    deadline, and nothing after it. With queues that lose nothing, a recording played back (sensors, then clock, as
    recorded) gives the same commands at any speed. Ages count simulated time too, so a slow simulator is no fault.

    Args:
        node: hears `/clock`.
        rate: Hz.
    """

    def __init__(self, node: Node, rate: float) -> None:
        self._node = node
        self._period = round(1e9 / rate)
        self._beat: Beat | None = None
        self._ros = 0  # ns
        self._elapsed = 0  # ns that the clock went forward, all its jumps back left out
        self._slot = 0
        self.failure: BaseException | None = None
        qos = QoSProfile(depth=SIMULATED_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._subscription = node.create_subscription(Clock, "/clock", self._on_clock, qos)

    def now(self) -> Instant:
        """The time."""
        return Instant(1e-9 * self._elapsed, 1e-9 * self._ros)

    def start(self, beat: Beat) -> None:
        """Begin to beat."""
        self._beat = beat

    def stop(self) -> None:
        """End."""
        self._beat = None

    def close(self) -> None:
        """Hear the clock no more."""
        self._node.destroy_subscription(self._subscription)

    def _slot_of(self, ros: int) -> int:
        return (ros + ROUNDING) // self._period

    def _on_clock(self, message: Clock) -> None:
        ros = 1_000_000_000 * message.clock.sec + message.clock.nanosec
        slot = self._slot_of(ros)
        self._elapsed += max(0, ros - self._ros) if self._ros else 0
        self._ros = ros
        missed, self._slot = slot - self._slot - 1, slot
        # A clock that jumps back is anchored anew, and beats at once: the controller must hear of it.
        if missed != -1 and self._beat is not None:
            self._beat(self.now(), max(0, missed))


Metronome = WallMetronome | SimulatedMetronome
SIMULATED_DEPTH = 1000  # messages a queue keeps where none may be lost
