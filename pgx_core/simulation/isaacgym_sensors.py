"""MuJoCo's sensors, computed from the body states that Isaac Gym gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import mujoco
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pgx_core.errors import SuiteError

Sensor, Obj = mujoco.mjtSensor, mujoco.mjtObj


@dataclass(frozen=True)
class BodyStates:
    """W worlds of B bodies, in the frame of their world, and what acts on them."""

    position: Float[Tensor, "W B 3"]  # of the body's frame, m
    quaternion: Float[Tensor, "W B 4"]  # w first
    velocity: Float[Tensor, "W B 3"]  # of its centre of mass, m/s
    angular: Float[Tensor, "W B 3"]  # rad/s
    contact: Float[Tensor, "W B 3"]  # net contact force, N
    effort: Float[Tensor, "W joints"]  # of each actuator, N m or N


Reading = Callable[[BodyStates], Tensor]


def sensor_readings(model: mujoco.MjModel, bodies: Mapping[str, int]) -> tuple[Reading, ...]:
    """One function for each sensor of the model, in the order of its sensordata.

    Args:
        model: the robot.
        bodies: where each body lies in `BodyStates`, by name.

    Raises:
        SuiteError: a sensor has no counterpart in Isaac Gym.
    """
    return tuple(_reading(model, sensor, bodies) for sensor in range(model.nsensor))


def rotate(quaternion: Float[Tensor, "*n 4"], vector: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """A vector of a rotated frame in the frame it is rotated against; quaternions w first."""
    w, axis = quaternion[..., :1], quaternion[..., 1:]
    twice = 2.0 * torch.linalg.cross(axis, vector)
    turned: Tensor = vector + w * twice + torch.linalg.cross(axis, twice)
    return turned


def conjugate(quaternion: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """The inverse rotation."""
    return torch.cat([quaternion[..., :1], -quaternion[..., 1:]], -1)


def _reading(model: mujoco.MjModel, sensor: int, bodies: Mapping[str, int]) -> Reading:
    kind, name = Sensor(model.sensor_type[sensor]), model.sensor(sensor).name
    plain = model.sensor_refid[sensor] < 0 and model.sensor_cutoff[sensor] == 0.0
    frame = _frame(model, sensor, bodies) if kind != Sensor.mjSENS_ACTUATORFRC else None
    index = int(model.sensor_objid[sensor])
    if plain and kind == Sensor.mjSENS_ACTUATORFRC:
        return lambda states: states.effort[:, index, None]
    if plain and frame and kind in FRAME_READINGS:
        return lambda states: FRAME_READINGS[kind](frame, states)
    if plain and frame and kind == Sensor.mjSENS_SUBTREELINVEL:
        return _subtree_velocity(model, index, bodies)
    raise SuiteError(
        f"sensor '{name}': Isaac Gym cannot give {kind.name.removeprefix('mjSENS_').lower()} as it is here"
    )


@dataclass(frozen=True)
class _Frame:
    """A frame fixed to a body."""

    body: int
    offset: Tensor  # [3] in the body's frame, m
    turn: Tensor  # [4]
    from_centre: Tensor  # [3] from the body's centre of mass, m


def _frame(model: mujoco.MjModel, sensor: int, bodies: Mapping[str, int]) -> _Frame | None:
    """The frame that a sensor measures; None where Isaac has no such body."""
    index, none = int(model.sensor_objid[sensor]), (np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0]))
    match Obj(model.sensor_objtype[sensor]):
        case Obj.mjOBJ_SITE:
            body, (offset, turn) = int(model.site_bodyid[index]), (model.site_pos[index], model.site_quat[index])
        case Obj.mjOBJ_XBODY:
            body, (offset, turn) = index, none
        case Obj.mjOBJ_BODY:  # MuJoCo means the inertial frame
            body, (offset, turn) = index, (model.body_ipos[index], model.body_iquat[index])
        case _:
            return None
    if model.body(body).name not in bodies:
        return None
    values = [np.array(value) for value in (offset, turn, offset - model.body_ipos[body])]
    place, attitude, lever = (torch.as_tensor(value, dtype=torch.float32) for value in values)
    return _Frame(bodies[model.body(body).name], place, attitude, lever)


def _attitude(frame: _Frame, states: BodyStates) -> Tensor:
    one, other = states.quaternion[:, frame.body], frame.turn.to(states.quaternion.device)
    real = one[:, :1] * other[:1] - (one[:, 1:] @ other[1:])[:, None]
    axis = other[1:].expand(len(one), 3)
    return torch.cat([real, one[:, :1] * axis + other[:1] * one[:, 1:] + torch.linalg.cross(one[:, 1:], axis)], 1)


def _turned(frame: _Frame, states: BodyStates, vector: Tensor) -> Tensor:
    """A vector of the body's frame in the world's."""
    quaternion = states.quaternion[:, frame.body]
    return rotate(quaternion, vector.to(quaternion.device).expand(len(quaternion), 3))


def _position(frame: _Frame, states: BodyStates) -> Tensor:
    return states.position[:, frame.body] + _turned(frame, states, frame.offset)


def _velocity(frame: _Frame, states: BodyStates) -> Tensor:
    lever = _turned(frame, states, frame.from_centre)
    velocity: Tensor = states.velocity[:, frame.body] + torch.linalg.cross(states.angular[:, frame.body], lever)
    return velocity


def _gyro(frame: _Frame, states: BodyStates) -> Tensor:
    return rotate(conjugate(_attitude(frame, states)), states.angular[:, frame.body])


def _velocimeter(frame: _Frame, states: BodyStates) -> Tensor:
    return rotate(conjugate(_attitude(frame, states)), _velocity(frame, states))


def _touch(frame: _Frame, states: BodyStates) -> Tensor:
    force: Tensor = states.contact[:, frame.body].norm(dim=1, keepdim=True)
    return force


FRAME_READINGS: dict[mujoco.mjtSensor, Callable[[_Frame, BodyStates], Tensor]] = {
    Sensor.mjSENS_FRAMEPOS: _position,
    Sensor.mjSENS_FRAMEQUAT: _attitude,
    Sensor.mjSENS_FRAMELINVEL: _velocity,
    Sensor.mjSENS_FRAMEANGVEL: lambda frame, states: states.angular[:, frame.body],
    Sensor.mjSENS_GYRO: _gyro,
    Sensor.mjSENS_VELOCIMETER: _velocimeter,
    Sensor.mjSENS_TOUCH: _touch,
}


def _subtree_velocity(model: mujoco.MjModel, root: int, bodies: Mapping[str, int]) -> Reading:
    """Of the centre of mass of a body and all it carries. A factor on all masses cancels."""
    carried = [
        body for body in range(1, model.nbody) if _carries(model, root, body) and model.body(body).name in bodies
    ]
    where = torch.tensor([bodies[model.body(body).name] for body in carried])
    share = torch.tensor(model.body_mass[carried] / model.body_mass[carried].sum(), dtype=torch.float32)

    def read(states: BodyStates) -> Tensor:
        device = states.velocity.device
        return (states.velocity[:, where.to(device)] * share.to(device)[:, None]).sum(1)

    return read


def _carries(model: mujoco.MjModel, root: int, body: int) -> bool:
    while body > root:
        body = int(model.body_parentid[body])
    return body == root
