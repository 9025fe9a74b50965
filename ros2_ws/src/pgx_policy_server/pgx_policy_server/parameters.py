"""Every parameter of the server and of the watchdog, declared once: default, meaning, range."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

from pgx_core.errors import ConfigError
from pgx_core.serving import ServingConfig

Value = bool | int | float | str | list[str]


@dataclass(frozen=True)
class Row:
    """One parameter."""

    name: str
    default: Value
    description: str
    low: float | None = None
    high: float | None = None
    read_only: bool = False  # read once, at the start of the process


def _serving(name: str, description: str, low: float | None = None, high: float | None = None) -> Row:
    return Row(name, getattr(ServingConfig(), name), description, low, high)


# ROS cannot tell the type of an empty list: [""] stands for it.
WIRING = (
    Row("bundle_path", "", "Folder of the bundle. Read when the node is configured."),
    Row("command_out_type", "forward", "Message of the commands: forward, trajectory (positions only) or joint_state."),
    Row("controller", "forward_position_controller", "Controller that takes forward or trajectory commands."),
    Row("joint_order", [""], "Joints in the order the controller expects; empty: the bundle's order."),
    Row("timeout_s", 0.15, "Silence of an active server after which the watchdog commands the robot, s.", 0.02, 10.0),
)
SERVER = (
    *WIRING,
    Row("providers", ["CPUExecutionProvider"], "ONNX Runtime's execution providers, best first."),
    Row("require_provider", "", "Refuse to configure unless every policy runs on this provider; empty: any will do."),
    Row(
        "cmd_vel_command",
        "",
        "Commands that cmd_vel's linear x, y and angular z set: velocity, lateral, turn, or velocity, , turn.",
    ),
    Row("enable_stamped_cmd_vel", False, "cmd_vel is a TwistStamped instead of a Twist."),
    Row("objective_age_s", 1.0, "A stamped objective older than this is refused, s; 0: none is too old.", 0.0, 3600.0),
    Row("watchdog", "watchdog", "Name of the watchdog's node; nothing is activated without it; empty: there is none."),
    Row("autostart", False, "Configure, and activate as soon as the inputs are fresh.", read_only=True),
    _serving("initial_objective", "Pursued after activation; empty: hold until one is commanded."),
    _serving(
        "neutral_objective",
        "Pursued when the command goes stale (empty: hold), and on the way where no direct switch is safe.",
    ),
    _serving("blend_s", "Time in which a policy takes over, s; -1: as the bundle's switches were measured.", -1.0, 5.0),
    _serving("joint_state_age_s", "Oldest joint states to act on, s.", 0.001, 10.0),
    _serving("imu_age_s", "Oldest IMU reading to act on, s.", 0.001, 10.0),
    _serving("odometry_age_s", "Oldest odometry to act on, s.", 0.001, 10.0),
    _serving("sensor_age_s", "Oldest reading of any other sensor to act on, s.", 0.001, 10.0),
    _serving("future_s", "A stamp further ahead of the clock is refused, s.", 0.0, 10.0),
    _serving("command_timeout_s", "An objective not repeated for so long is stale, s; 0: never.", 0.0, 3600.0),
    _serving("bad_ticks", "Consecutive ticks without usable readings before the safe state.", 1, 1000),
    _serving("recovery_s", "Good readings for so long end a hold, s.", 0.0, 60.0),
    _serving("dwell_s", "Least time between two switches, s.", 0.0, 60.0),
    _serving("nearest_distance", "Farthest trained objective that serves a command, share of the range.", 0.0, 1.0),
    _serving("switch_fall_rate", "Measured fall rate beyond which a switch takes another way; 1: never.", 0.0, 1.0),
    _serving("estop_timeout_s", "Silence of the e-stop topic that stops the robot, s; 0: may be silent.", 0.0, 60.0),
    _serving("overspeed", "Joint speed that counts as a fault, times the joint's limit.", 1.0, 100.0),
    _serving(
        "following_error",
        "A joint that stays so far from its position command counts as a fault, rad or m; 0: is not watched.",
        0.0,
        100.0,
    ),
)
_WATCHDOG = (
    *WIRING,
    Row("server", "policy_server", "Name of the server's node."),
    Row("joint_state_age_s", 0.1, "Oldest joint states the safe command may follow, s.", 0.001, 10.0),
)
WATCHDOG = tuple(replace(row, read_only=True) for row in _WATCHDOG)


def declare(node: Node, rows: Iterable[Row]) -> None:
    """Declare parameters.

    Raises:
        ConfigError: a value that was given at the start has another type, is out of range, or has a name that is
            nearly a parameter's: ROS takes no notice of unknown names.
    """
    rows = tuple(rows)
    _refuse_misspelt(node, {row.name for row in rows})
    for row in rows:
        try:
            node.declare_parameter(row.name, row.default, _descriptor(row))
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            hint = "; write a number with a point" if isinstance(row.default, float) else ""
            raise ConfigError(f"parameter '{row.name}': {' '.join(str(error).split())}{hint}") from error


def read(node: Node, rows: Iterable[Row]) -> dict[str, Any]:
    """Their values of now; an empty word in a list is left out."""
    values = {row.name: node.get_parameter(row.name).value for row in rows}
    return {name: [word for word in value if word] if _is_list(value) else value for name, value in values.items()}


def serving_config(values: dict[str, Any]) -> ServingConfig:
    """The part of the values that `pgx_core.serving` takes.

    Raises:
        ConfigError: they contradict each other.
    """
    return ServingConfig(**{field.name: values[field.name] for field in fields(ServingConfig)})


def _refuse_misspelt(node: Node, names: set[str]) -> None:
    # A name that resembles none may be another node's, in a file for all nodes.
    known = names | {row.name for row in (*SERVER, *WATCHDOG)}
    for given in node._parameter_overrides.keys() - known:
        near = get_close_matches(given, names, 1, 0.85)
        if near:
            raise ConfigError(f"parameter '{given}': expected a parameter of {node.get_name()}; is '{near[0]}' meant?")


def _is_list(value: object) -> bool:
    return not isinstance(value, (str, bool, int, float))


def _descriptor(row: Row) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=row.description, read_only=row.read_only)
    if row.low is not None and isinstance(row.default, float):
        descriptor.floating_point_range = [FloatingPointRange(from_value=float(row.low), to_value=float(row.high))]
    elif row.low is not None:
        descriptor.integer_range = [IntegerRange(from_value=int(row.low), to_value=int(row.high), step=1)]
    return descriptor
