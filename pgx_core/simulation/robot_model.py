"""Compile a robot's MJCF and derive its policy contract."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import mujoco
import numpy as np

from pgx_core.contract import SENSOR_PREFIX, SOURCES, JointContract, JointStart, ObservationTerm, PolicyContract
from pgx_core.errors import SuiteError
from pgx_core.faults import contract_faults
from pgx_core.objectives.objective import Physics, Reset, Robot

# Observations of the base: the sensor each is read from, and its size.
BASE_SENSORS = {
    "projected_gravity": ("orientation", 4),
    "angular_velocity": ("angular_velocity", 3),
    "linear_velocity": ("linear_velocity", 3),
}

ASSETS = "assets"  # folder of the files that a standalone MJCF needs

CommandType = Literal["position", "velocity", "effort"]


@dataclass(frozen=True)
class RobotModel:
    """A compiled robot: its model, its contract (without the objective) and where things lie."""

    model: mujoco.MjModel
    contract: PolicyContract
    substeps: int  # physics steps per control step
    home_qpos: np.ndarray
    joint_qpos: np.ndarray  # address of each commanded joint in qpos
    joint_qvel: np.ndarray
    sensors: Mapping[str, slice]
    touches: np.ndarray  # address of each touch sensor in sensordata
    privileged: tuple[ObservationTerm, ...] = ()  # what the critic alone sees, after the contract's observation


def compile_robot(robot: Robot) -> RobotModel:
    """Load, check and describe a robot.

    Raises:
        SuiteError: the MJCF does not load, or does not meet what `Robot` or a bundle's contract asks of it.
    """
    try:
        model = mujoco.MjModel.from_xml_path(str(robot.mjcf))
    except (ValueError, FileNotFoundError) as error:
        reason = " ".join(str(error).split())
        raise SuiteError(f"robot '{robot.name}': MuJoCo cannot load '{robot.mjcf}': {reason}") from error
    if model.na:  # neither reset nor saved with the rest
        raise SuiteError(
            f"robot '{robot.name}': expected actuators without a state of their own, got activation dynamics in "
            f"'{robot.mjcf}': leave dyntype and timeconst out"
        )
    joints, home, sensors = _actuated_joints(model, robot), _home(model), _sensors(model)
    kinds = {_command_type(model, actuator) for actuator in range(model.nu)}
    if len(kinds) > 1:
        raise SuiteError(f"robot '{robot.name}': expected one kind of actuator, got {' and '.join(sorted(kinds))}")
    contract = PolicyContract(
        robot=robot.name,
        control_rate=robot.control_rate,
        command_type=kinds.pop(),
        joints=tuple(_joint(model, robot, actuator, home) for actuator in range(model.nu)),
        observation=tuple(_term(model, robot, source, sensors) for source in robot.observation),
        safe_state=robot.safe_state,
        maximum_tilt=robot.maximum_tilt,
    )
    for fault in contract_faults(contract, n_objectives=0):  # what no bundle may say, before anything is trained for it
        raise SuiteError(f"robot '{robot.name}': {fault}")
    return RobotModel(
        model=model,
        contract=contract,
        substeps=_substeps(model, robot),
        home_qpos=home,
        joint_qpos=model.jnt_qposadr[joints],
        joint_qvel=model.jnt_dofadr[joints],
        sensors=sensors,
        touches=model.sensor_adr[model.sensor_type == int(mujoco.mjtSensor.mjSENS_TOUCH)],
        privileged=tuple(_term(model, robot, source, sensors) for source in robot.privileged),
    )


def standalone_mjcf(robot: Robot) -> tuple[str, dict[str, bytes]]:
    """The robot's MJCF as one text, includes resolved, and the files that its meshes and pictures need beside it.

    Raises:
        SuiteError: a file cannot be read.
    """
    spec, files = mujoco.MjSpec.from_file(str(robot.mjcf)), dict[str, bytes]()
    kinds = ((*spec.meshes, *spec.hfields, *spec.skins), Path(spec.meshdir)), (spec.textures, Path(spec.texturedir))
    for items, folder in kinds:
        for item in items:
            item.file = item.file and _take_along(robot, folder / item.file, files)
    for texture in spec.textures:
        folder = Path(spec.texturedir)
        texture.cubefiles = [side and _take_along(robot, folder / side, files) for side in texture.cubefiles]
    spec.meshdir = spec.texturedir = ASSETS
    spec.assets = files
    return str(spec.to_xml()), files


def _take_along(robot: Robot, path: Path, files: dict[str, bytes]) -> str:
    """Add a file that the MJCF names to `files`; the name it has there, in ASSETS, which no other content shares."""
    try:
        content = (robot.mjcf.parent / path).read_bytes()
    except OSError as error:
        raise SuiteError(f"robot '{robot.name}': cannot read '{path}': {error.strerror}") from error
    name = f"{hashlib.sha256(content).hexdigest()[:8]}_{path.name}"
    files[f"{ASSETS}/{name}"] = content
    return name


def scene_of(robot: RobotModel, reset: Reset) -> dict[str, JointStart]:
    """Where an objective puts what is not the robot: the joints of bodies in whose tree nothing is driven."""
    model = robot.model
    driven = set(model.body_rootid[model.jnt_bodyid[model.actuator_trnid[:, 0]]])
    scene = {}
    for name in dict.fromkeys([*reset.positions, *reset.velocities]):
        joint = model.joint(name)
        if model.body_rootid[joint.bodyid[0]] not in driven:
            home = float(robot.home_qpos[joint.qposadr[0]])
            scene[name] = JointStart(reset.positions.get(name, (home, home)), reset.velocities.get(name, (0.0, 0.0)))
    return scene


def vary_physics(model: mujoco.MjModel, physics: Physics) -> mujoco.MjModel:
    """A copy of the model with the objective's factors applied."""
    varied: mujoco.MjModel = model.__copy__()
    varied.opt.gravity[:] *= physics.gravity
    varied.geom_friction[:, 0] *= physics.friction
    varied.body_mass[:] *= physics.mass
    varied.body_inertia[:] *= physics.mass
    varied.actuator_gainprm[:, 0] *= physics.actuator_strength
    varied.actuator_biasprm[:, :3] *= physics.actuator_strength
    varied.actuator_forcerange[:] *= physics.actuator_strength
    if physics.mass != 1.0:
        mujoco.mj_setConst(varied, mujoco.MjData(varied))
    return varied


def _actuated_joints(model: mujoco.MjModel, robot: Robot) -> np.ndarray:
    if model.nu == 0:
        raise SuiteError(f"robot '{robot.name}': expected actuators in '{robot.mjcf}', found none")
    movable = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))
    for actuator in range(model.nu):
        on_joint = model.actuator_trntype[actuator] == int(mujoco.mjtTrn.mjTRN_JOINT)
        if not on_joint or model.jnt_type[model.actuator_trnid[actuator, 0]] not in movable:
            raise SuiteError(f"{_title(model, robot, actuator)} must drive one hinge or slide joint")
    joints: np.ndarray = model.actuator_trnid[:, 0]
    if len(set(joints)) < len(joints):
        raise SuiteError(f"robot '{robot.name}': expected one actuator per joint, two drive the same")
    return joints


def _title(model: mujoco.MjModel, robot: Robot, actuator: int) -> str:
    name, joint = model.actuator(actuator).name, int(model.actuator_trnid[actuator, 0])
    on_joint = model.actuator_trntype[actuator] == int(mujoco.mjtTrn.mjTRN_JOINT)
    unnamed = f"the actuator of joint '{model.joint(joint).name}'" if on_joint else f"actuator {actuator}"
    return f"robot '{robot.name}': " + (f"actuator '{name}'" if name else unnamed)


def _home(model: mujoco.MjModel) -> np.ndarray:
    names = [model.key(i).name for i in range(model.nkey)]
    return np.array(model.key("home").qpos if "home" in names else model.qpos0)


def _sensors(model: mujoco.MjModel) -> dict[str, slice]:
    return {
        model.sensor(i).name: slice(int(model.sensor_adr[i]), int(model.sensor_adr[i] + model.sensor_dim[i]))
        for i in range(model.nsensor)
    }


def _substeps(model: mujoco.MjModel, robot: Robot) -> int:
    ratio = 1.0 / (robot.control_rate * float(model.opt.timestep))
    if abs(ratio - round(ratio)) > 1e-6 or round(ratio) < 1:
        raise SuiteError(
            f"robot '{robot.name}': the control rate {robot.control_rate:g} Hz must divide the physics rate "
            f"{1 / model.opt.timestep:g} Hz"
        )
    return round(ratio)


def _command_type(model: mujoco.MjModel, actuator: int) -> CommandType:
    """MuJoCo's position servo has bias -kp on the length, its velocity servo -kv on the velocity alone."""
    if model.actuator_biastype[actuator] != int(mujoco.mjtBias.mjBIAS_AFFINE):
        return "effort"
    return "position" if model.actuator_biasprm[actuator, 1] else "velocity"


def _check_units(model: mujoco.MjModel, robot: Robot, actuator: int, kind: CommandType) -> None:
    """Robots know neither gear nor gain: commands must be the joint's own positions, speeds or torques."""
    gear, gain = float(model.actuator_gear[actuator, 0]), float(model.actuator_gainprm[actuator, 0])
    for name, factor in (("gear", gear), ("gain", gain if kind == "effort" else 1.0)):
        if factor != 1.0:
            raise SuiteError(
                f"{_title(model, robot, actuator)}: expected {name} 1, got {factor:g}: give commands in the "
                f"joint's own units, and ctrlrange, forcerange and gains with them"
            )


def _joint(model: mujoco.MjModel, robot: Robot, actuator: int, home: np.ndarray) -> JointContract:
    joint = int(model.actuator_trnid[actuator, 0])
    kind = _command_type(model, actuator)
    _check_units(model, robot, actuator, kind)
    lower, upper = map(float, model.actuator_ctrlrange[actuator])
    limited = bool(model.jnt_limited[joint])
    if not model.actuator_ctrllimited[actuator]:
        if kind != "position" or not limited:
            bounded = "a ctrlrange (or, for positions, a range of its joint); a policy needs a bounded command"
            raise SuiteError(f"{_title(model, robot, actuator)}: expected {bounded}")
        lower, upper = map(float, model.jnt_range[joint])
    force = float(model.actuator_forcerange[actuator, 1]) if model.actuator_forcelimited[actuator] else 0.0
    gain, bias_velocity = model.actuator_gainprm[actuator, 0], model.actuator_biasprm[actuator, 2]
    return JointContract(
        name=model.joint(joint).name,
        default=float(home[model.jnt_qposadr[joint]]) if kind == "position" else 0.0,
        scale=robot.action_scale if kind == "position" else robot.action_scale * max(abs(lower), abs(upper)),
        lower=lower,
        upper=upper,
        position_lower=float(model.jnt_range[joint, 0]) if limited else None,
        position_upper=float(model.jnt_range[joint, 1]) if limited else None,
        velocity_limit=robot.velocity_limit * (1.0 - robot.velocity_margin),
        rated_velocity=robot.velocity_limit if robot.velocity_margin else None,
        effort_limit=force or (float(abs(gain)) * max(abs(lower), abs(upper))),
        stiffness=float(gain) if kind == "position" else 0.0,
        damping=0.0 - float(bias_velocity) if kind != "effort" else 0.0,
    )


def _term(model: mujoco.MjModel, robot: Robot, source: str, sensors: Mapping[str, slice]) -> ObservationTerm:
    if source.startswith(SENSOR_PREFIX) or source in BASE_SENSORS:
        sensor, expected = BASE_SENSORS.get(source, (source.removeprefix(SENSOR_PREFIX), None))
        if sensor not in sensors:
            raise SuiteError(
                f"robot '{robot.name}': observation '{source}' needs the sensor '{sensor}' in '{robot.mjcf}' "
                f"(it has: {', '.join(sensors) or 'none'})"
            )
        size = sensors[sensor].stop - sensors[sensor].start
        if expected not in (None, size):
            raise SuiteError(f"robot '{robot.name}': expected sensor '{sensor}' of size {expected}, got size {size}")
        return ObservationTerm(source, 3 if source == "projected_gravity" else size)
    if source not in SOURCES or source == "objective":
        known = ", ".join(name for name in SOURCES if name != "objective")
        raise SuiteError(f"robot '{robot.name}': unknown observation '{source}'; known: {known}, {SENSOR_PREFIX}NAME")
    return ObservationTerm(source, model.nu)
