"""How objectives are asked for: typed and plain topics, services, `cmd_vel`. Each becomes a request."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from geometry_msgs.msg import Twist, TwistStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header, String

from pgx_core.contract import ObjectiveContract
from pgx_core.errors import ConfigError
from pgx_core.serving import Answer, Controller, Instant, Mode, Request
from pgx_core.serving.modes import MOVING
from pgx_policy_server.inputs import stamp_of
from pgx_policy_server.reports import TYPED, Reports

if TYPED:
    from pgx_msgs.msg import ObjectiveCommand
    from pgx_msgs.srv import ListObjectives, SetObjective

# Never latched: a restart must not replay an old wish.
QOS = QoSProfile(depth=1)
TWIST_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)  # hears both kinds of stick


class ObjectiveInterface:
    """Hears objectives for a controller.

    Args:
        node: hears and serves.
        controller: takes the requests.
        objectives: what the bundle can be asked for.
        now: the time of arrival.
        values: the parameters.
        report: told of refusals that the controller does not see, and of the objective that is pursued.

    Raises:
        ConfigError: cmd_vel is asked for, and no objective serves it, none is neutral, or it may fall silent for ever.
    """

    def __init__(
        self,
        node: Node,
        controller: Controller,
        objectives: Sequence[ObjectiveContract],
        now: Callable[[], Instant],
        values: dict[str, Any],
        report: Reports,
    ) -> None:
        self._node, self._controller, self._now, self._report = node, controller, now, report
        self._objectives = objectives
        self._oldest, self._ahead = values["objective_age_s"] or math.inf, values["future_s"]
        self._neutral = Request(name=values["neutral_objective"])
        self._axes = _axes(values, objectives)
        self._subscriptions = [node.create_subscription(String, "~/objective_name", self._on_name, QOS)]
        self._services = []
        if TYPED:
            self._subscriptions.append(node.create_subscription(ObjectiveCommand, "~/objective", self._on_command, QOS))
            self._services.append(node.create_service(SetObjective, "~/set_objective", self._on_set))
            self._services.append(node.create_service(ListObjectives, "~/list_objectives", self._on_list))
        if self._axes:
            stamped = values["enable_stamped_cmd_vel"]
            kind, callback = (TwistStamped, self._on_stamped_twist) if stamped else (Twist, self._on_twist)
            self._subscriptions.append(node.create_subscription(kind, "cmd_vel", callback, TWIST_QOS))

    def close(self) -> None:
        """Hear no more."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        for service in self._services:
            self._node.destroy_service(service)

    def _on_name(self, message: String) -> None:
        self._controller.request(Request(name=message.data), self._now())

    def _on_twist(self, message: Twist) -> None:
        turns = (message.linear.x, message.linear.y, message.angular.z)
        command = {name: turn for name, turn in zip(self._axes, turns, strict=False) if name}
        answer = self._controller.request(Request(command=command), self._now())
        pursues = answer.objective not in ("", self._neutral.name) and self._controller.mode in (Mode.HOLD, *MOVING)
        if pursues and not answer.accepted:  # whoever lets go of a stick expects the robot to stop
            self._controller.request(self._neutral, self._now())

    def _on_stamped_twist(self, message: TwistStamped) -> None:
        stale = self._stale(message.header)
        if stale:
            self._report.refused(stale, self._now())
        else:
            self._on_twist(message.twist)

    def _on_command(self, message: Any) -> Answer:
        reason = self._stale(message.header) or _contradiction(message)
        if reason:
            self._report.refused(reason, self._now())
            return Answer(False, self._report.objective, self._report.group, reason)
        request = Request(
            name=message.name,
            weights=dict(zip(message.objectives, message.weights, strict=True)),
            command=dict(zip(message.command_names, message.command_values, strict=True)),
        )
        return self._controller.request(request, self._now())

    def _stale(self, header: Header) -> str:
        stamp = stamp_of(header)
        age = self._now().ros - stamp if stamp else 0.0
        if age < -self._ahead:
            return f"the objective is stamped {-age:.2f} s ahead of the clock: expected at most {self._ahead:g} s"
        return f"the objective is {age:.2f} s old: expected at most {self._oldest:g} s" if age > self._oldest else ""

    def _on_set(self, request: Any, response: Any) -> Any:
        answer = self._on_command(request.command)
        response.accepted, response.reason = answer.accepted, answer.reason
        response.objective, response.group = answer.objective, answer.group
        return response

    def _on_list(self, _: Any, response: Any) -> Any:
        response.objectives = [objective.name for objective in self._objectives]
        response.groups = [objective.group for objective in self._objectives]
        response.scores = [objective.score for objective in self._objectives]
        response.active = self._report.objective
        return response


def _axes(values: dict[str, Any], objectives: Sequence[ObjectiveContract]) -> tuple[str, ...]:
    """What linear.x, linear.y and angular.z of cmd_vel command, "" for nothing; none where it is not asked for."""
    axes = tuple(name.strip() for name in values["cmd_vel_command"].split(","))
    names = {name for name in axes if name}
    if not names:
        return ()
    known = sorted({", ".join(objective.command) for objective in objectives})
    if len(axes) > 3 or not any(objective.command.keys() == names for objective in objectives):
        got = values["cmd_vel_command"]
        raise ConfigError(f"cmd_vel_command: expected what commands an objective ({'; '.join(known)}), got '{got}'")
    if not values["neutral_objective"]:
        raise ConfigError("cmd_vel_command: expected a neutral_objective too, for a twist that no objective serves")
    if not values["command_timeout_s"]:
        raise ConfigError("cmd_vel_command: expected a command_timeout_s above 0 too: a lost link must stop the robot")
    return axes


def _contradiction(message: Any) -> str:
    for names, numbers in (("objectives", "weights"), ("command_names", "command_values")):
        given, values = getattr(message, names), getattr(message, numbers)
        if len(given) != len(values):
            return f"expected as many {numbers} as {names}, got {len(values)} and {len(given)}"
        if len(set(given)) != len(given):
            return f"{names}: each may be named once"
    return ""
