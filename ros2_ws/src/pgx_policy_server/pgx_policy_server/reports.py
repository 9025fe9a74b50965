"""What the server tells: active policy, status, events and diagnostics, each made from one view of its state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from std_msgs.msg import String

from pgx_core.serving import Event, Instant, Mode
from pgx_policy_server.timing import NO_TICKS, TimingReport

try:
    from pgx_msgs.msg import PolicyStatus, SwitchEvent

    TYPED = True
except ImportError:  # built by colcon, which needs a C++ compiler
    TYPED = False

UNTYPED_HINT = (
    "pgx_msgs is not built: only ~/objective_name is served; install g++, cmake and python3-dev, then build it with "
    "colcon (`make ros` where ROS came as wheels)"
)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
EVENT_DEPTH = 100
FAULTS = (Mode.DAMP.name, Mode.ESTOP.name)


@dataclass(frozen=True)
class View:
    """The server's state at one moment."""

    state: str  # of the lifecycle
    mode: str = Mode.INACTIVE.name
    reason: str = ""  # of the mode, or of the last transition that was refused
    objective: str = ""
    group: str = ""
    bundle: str = ""
    digest: str = ""
    ages: Mapping[str, float] = field(default_factory=dict)  # s, by input
    refusals: Mapping[str, str] = field(default_factory=dict)  # why an input's last message was refused
    timing: TimingReport = NO_TICKS
    ticks: int = 0
    refused_ticks: int = 0
    clamps: int = 0
    providers: Mapping[str, str] = field(default_factory=dict)  # by group
    warnings: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


class Reports:
    """The server's outgoing reports.

    Args:
        node: publishes.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self.objective = self.group = ""
        self._active = ("", "")
        self._active_policy = node.create_publisher(String, "~/active_policy", LATCHED)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._status = node.create_publisher(PolicyStatus, "~/status", LATCHED) if TYPED else None
        self._events = node.create_publisher(SwitchEvent, "~/events", EVENT_DEPTH) if TYPED else None
        if not TYPED:
            node.get_logger().warning(UNTYPED_HINT)

    def event(self, event: Event, now: Instant) -> None:
        """Publish and log one event, with the time it was decided by: the node's clock may be a burst ahead."""
        log = self._node.get_logger()
        if event.kind == "mode":
            event = replace(event, source=event.source.upper(), target=event.target.upper())
        if event.kind == "refused":
            log.warning(f"refused: {event.reason}", throttle_duration_sec=1.0)
        else:
            log.info(f"{event.kind} {event.source or '-'} -> {event.target}: {event.reason}")
        if self._events is not None:
            message = SwitchEvent(
                kind=event.kind,
                source=event.source,
                target=event.target,
                objective=event.objective,
                group=event.group,
                reason=event.reason,
                latency=event.latency,
            )
            message.header.stamp = Time(nanoseconds=round(1e9 * now.ros)).to_msg()
            self._events.publish(message)

    def refused(self, reason: str, now: Instant) -> None:
        """A wish that did not reach the controller."""
        self.event(Event("refused", self.objective, "", self.objective, self._active[0], reason, 0.0), now)

    def active(self, group: str, objective: str) -> None:
        """Which policy pursues what, as group/objective; empty words for none. Published when it changes."""
        if (group, objective) != self._active:
            self._active, self.objective, self.group = (group, objective), objective, group
            self._active_policy.publish(String(data=f"{group}/{objective}" if objective else ""))

    def status(self, view: View) -> None:
        """Publish `~/status`."""
        if self._status is not None:
            self._status.publish(status_message(view, self._now()))

    def diagnostics(self, view: View) -> None:
        """Publish `/diagnostics`."""
        status = diagnostic_status(view, self._node.get_fully_qualified_name())
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._now()
        self._diagnostics.publish(message)

    def _now(self) -> Any:
        return self._node.get_clock().now().to_msg()


def status_message(view: View, stamp: Any) -> Any:
    """The view as a PolicyStatus."""
    message = PolicyStatus(
        mode=view.mode,
        reason=view.reason,
        objective=view.objective,
        group=view.group,
        bundle=view.bundle,
        digest=view.digest,
        inputs=list(view.ages),
        ages=list(view.ages.values()),
        tick_p50_ms=view.timing.p50,
        tick_p99_ms=view.timing.p99,
        tick_max_ms=view.timing.maximum,
        period_sigma_ms=view.timing.period_sigma,
        ticks=view.ticks,
        overruns=view.timing.overruns,
        clamps=view.clamps,
        refused_ticks=view.refused_ticks,
        provider=" ".join(sorted(set(view.providers.values()))),
    )
    message.header.stamp = stamp
    return message


def diagnostic_status(view: View, node: str) -> DiagnosticStatus:
    """The view as a DiagnosticStatus: an error in a fault mode, a warning where something needs a look."""
    refusals = [f"{name}: {reason}" for name, reason in view.refusals.items() if reason]
    faults = [*view.errors, *([view.mode] if view.mode in FAULTS else [])]
    notes = [*view.warnings, *refusals]
    level = DiagnosticStatus.ERROR if faults else DiagnosticStatus.WARN if notes else DiagnosticStatus.OK
    words = [view.mode if view.state == "active" else view.state, view.reason, *view.errors, *notes]
    values = {
        "state": view.state,
        "mode": view.mode,
        "objective": view.objective,
        "group": view.group,
        "bundle": view.bundle,
        "tick_p50_ms": f"{view.timing.p50:.3f}",
        "tick_p99_ms": f"{view.timing.p99:.3f}",
        "tick_max_ms": f"{view.timing.maximum:.3f}",
        "period_sigma_ms": f"{view.timing.period_sigma:.3f}",
        "ticks": str(view.ticks),
        "overruns": str(view.timing.overruns),
        "overruns_in_a_row": str(view.timing.longest_streak),
        "clamps": str(view.clamps),
        "refused_ticks": str(view.refused_ticks),
        **{f"age {name}": f"{age:.3f}" for name, age in view.ages.items()},
        **{f"provider {group}": provider for group, provider in view.providers.items()},
    }
    return DiagnosticStatus(
        level=level,
        name=f"{node.lstrip('/')}: policy",
        message="; ".join(word for word in words if word),
        hardware_id=view.bundle,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
