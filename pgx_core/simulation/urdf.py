"""A robot's MJCF as URDF, for Isaac and ROS tools: the same links, masses, inertias, joints and limits.

Shapes become visuals and collisions; what URDF has no word for (actuator gains, sensors, contact parameters) is left
out.
"""

from __future__ import annotations

from xml.etree import ElementTree

import mujoco
import numpy as np

from pgx_core.errors import SuiteError

HINGE, SLIDE = int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE)
UNLIMITED = 1e3  # rad or m, N m or N: URDF wants a number


def to_urdf(model: mujoco.MjModel, name: str, root: str, velocity_limit: float) -> str:
    """The tree below one body, as URDF text.

    Args:
        model: the compiled MJCF. Each body below the root has at most one joint, at its own origin.
        name: of the robot.
        root: the body that becomes the base link.
        velocity_limit: of every joint, rad/s or m/s: MJCF has none.

    Raises:
        SuiteError: a body moves in a way that one URDF joint cannot express.
    """
    robot = ElementTree.Element("robot", name=name)
    # MuJoCo itself reads URDF; without this it would merge links that are fixed to each other.
    ElementTree.SubElement(ElementTree.SubElement(robot, "mujoco"), "compiler", fusestatic="false")
    base = model.body(root).id
    for body in range(base, model.nbody):
        if not _below(model, body, base):
            continue
        robot.append(_link(model, body))
        if body != base:
            robot.append(_joint(model, body, velocity_limit))
    ElementTree.indent(robot)
    return '<?xml version="1.0"?>\n' + ElementTree.tostring(robot, encoding="unicode") + "\n"


def _below(model: mujoco.MjModel, body: int, base: int) -> bool:
    while body > base:
        body = int(model.body_parentid[body])
    return body == base


def _link(model: mujoco.MjModel, body: int) -> ElementTree.Element:
    link = ElementTree.Element("link", name=model.body(body).name)
    inertial = ElementTree.SubElement(link, "inertial")
    inertial.append(_origin(model.body_ipos[body], np.array([1.0, 0.0, 0.0, 0.0])))
    ElementTree.SubElement(inertial, "mass", value=_number(model.body_mass[body]))
    axes = _matrix(model.body_iquat[body])
    tensor = axes @ np.diag(model.body_inertia[body]) @ axes.T
    pairs = {"ixx": (0, 0), "ixy": (0, 1), "ixz": (0, 2), "iyy": (1, 1), "iyz": (1, 2), "izz": (2, 2)}
    ElementTree.SubElement(inertial, "inertia", {name: _number(tensor[pair]) for name, pair in pairs.items()})
    for geom in np.flatnonzero(model.geom_bodyid == body):
        solid = model.geom_contype[geom] or model.geom_conaffinity[geom]
        for kind in ("visual", "collision") if solid else ("visual",):
            shape = ElementTree.SubElement(link, kind)
            shape.append(_origin(model.geom_pos[geom], model.geom_quat[geom]))
            _geometry(ElementTree.SubElement(shape, "geometry"), model, int(geom))
    return link


def _geometry(parent: ElementTree.Element, model: mujoco.MjModel, geom: int) -> None:
    """URDF has no capsule: the cylinder of its length over all stands in for it."""
    radius, half = model.geom_size[geom, :2]
    match mujoco.mjtGeom(model.geom_type[geom]):
        case mujoco.mjtGeom.mjGEOM_BOX:
            ElementTree.SubElement(parent, "box", size=_numbers(2 * model.geom_size[geom]))
        case mujoco.mjtGeom.mjGEOM_SPHERE:
            ElementTree.SubElement(parent, "sphere", radius=_number(radius))
        case mujoco.mjtGeom.mjGEOM_CYLINDER:
            ElementTree.SubElement(parent, "cylinder", radius=_number(radius), length=_number(2 * half))
        case mujoco.mjtGeom.mjGEOM_CAPSULE:
            ElementTree.SubElement(parent, "cylinder", radius=_number(radius), length=_number(2 * (half + radius)))
        case other:
            raise SuiteError(f"geom '{model.geom(geom).name}': URDF has no shape for {other.name}; use a primitive one")


def _joint(model: mujoco.MjModel, body: int, velocity_limit: float) -> ElementTree.Element:
    joints = np.flatnonzero(model.jnt_bodyid == body)
    name = model.body(body).name
    if len(joints) > 1 or (len(joints) and model.jnt_type[joints[0]] not in (HINGE, SLIDE)):
        raise SuiteError(f"body '{name}': expected one hinge or slide joint at most, got something else")
    if len(joints) and model.jnt_pos[joints[0]].any():
        raise SuiteError(f"body '{name}': expected its joint at its own origin, got {model.jnt_pos[joints[0]]}")
    kind = _kind(model, int(joints[0])) if len(joints) else "fixed"
    title = model.joint(int(joints[0])).name if len(joints) else f"{name}_joint"
    joint = ElementTree.Element("joint", name=title, type=kind)
    joint.append(_origin(model.body_pos[body], model.body_quat[body]))
    ElementTree.SubElement(joint, "parent", link=model.body(int(model.body_parentid[body])).name)
    ElementTree.SubElement(joint, "child", link=name)
    if len(joints):
        _motion(joint, model, int(joints[0]), velocity_limit)
    return joint


def _kind(model: mujoco.MjModel, joint: int) -> str:
    if model.jnt_type[joint] == SLIDE:
        return "prismatic"
    return "revolute" if model.jnt_limited[joint] else "continuous"


def _motion(parent: ElementTree.Element, model: mujoco.MjModel, joint: int, velocity_limit: float) -> None:
    ElementTree.SubElement(parent, "axis", xyz=_numbers(model.jnt_axis[joint]))
    lower, upper = model.jnt_range[joint] if model.jnt_limited[joint] else (-UNLIMITED, UNLIMITED)
    drives = np.flatnonzero((model.actuator_trnid[:, 0] == joint) & (model.actuator_forcelimited == 1))
    effort = float(model.actuator_forcerange[drives[0], 1]) if len(drives) else UNLIMITED
    limits = {"lower": lower, "upper": upper, "effort": effort, "velocity": velocity_limit}
    ElementTree.SubElement(parent, "limit", {name: _number(value) for name, value in limits.items()})
    damping = model.dof_damping[model.jnt_dofadr[joint]]
    ElementTree.SubElement(parent, "dynamics", damping=_number(damping), friction="0")


def _origin(position: np.ndarray, quaternion: np.ndarray) -> ElementTree.Element:
    return ElementTree.Element("origin", xyz=_numbers(position), rpy=_numbers(_roll_pitch_yaw(_matrix(quaternion))))


def _matrix(quaternion: np.ndarray) -> np.ndarray:
    flat = np.zeros(9)
    mujoco.mju_quat2Mat(flat, np.asarray(quaternion, np.float64))
    return flat.reshape(3, 3)


def _roll_pitch_yaw(matrix: np.ndarray) -> np.ndarray:
    """Angles about the fixed x, y and z axes, in this order, as URDF means them."""
    pitch = np.arctan2(-matrix[2, 0], np.hypot(matrix[0, 0], matrix[1, 0]))
    if abs(matrix[2, 0]) > 1.0 - 1e-9:  # looking straight up or down: roll and yaw are one, so roll is 0
        return np.array([0.0, pitch, np.arctan2(-matrix[0, 1], matrix[1, 1])])
    return np.array([np.arctan2(matrix[2, 1], matrix[2, 2]), pitch, np.arctan2(matrix[1, 0], matrix[0, 0])])


def _number(value: float) -> str:
    return f"{round(float(value), 12) + 0.0:.10g}"


def _numbers(values: np.ndarray) -> str:
    return " ".join(map(_number, values))
