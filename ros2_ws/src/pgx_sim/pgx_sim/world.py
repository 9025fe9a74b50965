"""The robot's body: MuJoCo, joints by name, sensors as a robot has them. No ROS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from pgx_core.contract import SENSOR_PREFIX
from pgx_core.errors import BundleError, ConfigError
from pgx_core.play import load_model, place
from pgx_core.scene import Placement, draw_scene
from pgx_core.serving import load_bundle
from pgx_core.serving.checks import find_objective

AXES = ("x", "y", "z")
ACCELERATION = "linear_acceleration"  # the sensor's name in the MJCF, an accelerometer
BASE_SENSORS = ("orientation", "angular_velocity", "linear_velocity", ACCELERATION)
BREAKDOWNS = (mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQVEL, mujoco.mjtWarning.mjWARN_BADQACC)


@dataclass(frozen=True)
class Sensors:
    """What the robot feels at one instant. Arrays are the reader's own."""

    positions: np.ndarray  # [joints] rad or m, in the order of `World.joints`
    velocities: np.ndarray  # [joints]
    efforts: np.ndarray  # [joints] N m or N, of the actuators
    base_position: np.ndarray  # [3] m, world frame
    named: dict[str, np.ndarray]  # the MJCF's sensors; "orientation" is (w, x, y, z)


class World:
    """One robot in MuJoCo, at its home pose, which it holds until the first command.

    Args:
        model: the robot.
        joints: the commanded ones, in the order of commands and readings.
        control_rate: of the policy, Hz; 0 where none is known.
        scene: where joints of what is not the robot stand at home.
        observed: names of the sensors that the policy reads by their names.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        joints: Sequence[str],
        control_rate: float = 0.0,
        scene: Placement | None = None,
        observed: Sequence[str] = (),
    ) -> None:
        self.model, self.data = model, mujoco.MjData(model)
        self.joints = tuple(joints)
        self.control_rate = control_rate
        self.observed = tuple(observed)
        ids = [model.joint(name).id for name in joints]
        self._actuators = np.array([list(model.actuator_trnid[:, 0]).index(joint) for joint in ids])
        self._qpos, self._qvel = model.jnt_qposadr[ids], model.jnt_dofadr[ids]
        self._scene = scene or {}
        self._stiffness = model.actuator_biasprm[:, 1].copy()
        self._base = _Base(model, self._qvel)
        self._sensors = {model.sensor(i).name: self.data.sensor(i).data for i in range(model.nsensor)}
        self.command_type = _command_type(model, int(self._actuators[0]))
        self.reset()

    @property
    def timestep(self) -> float:
        """s."""
        return float(self.model.opt.timestep)

    @property
    def sensor_names(self) -> tuple[str, ...]:
        """The MJCF's sensors."""
        return tuple(self._sensors)

    def reset(self) -> None:
        """Return to the home pose, at rest, and hold it."""
        model, data = self.model, self.data
        names = [model.key(i).name for i in range(model.nkey)]
        if "home" in names:
            mujoco.mj_resetDataKeyframe(model, data, names.index("home"))
            data.qvel[:] = 0.0
        else:
            mujoco.mj_resetData(model, data)
        self.command(data.qpos[self._qpos] if self.command_type == "position" else np.zeros(len(self.joints)))
        mujoco.mj_forward(model, data)
        place(model, data, self._scene)

    def place(self, scene: Placement) -> None:
        """Move what is not the robot, now and whenever it is put back.

        Raises:
            ConfigError: a joint is unknown, commanded, or neither hinge nor slide, or a value is not finite.
        """
        kinds = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))
        joints = [self.model.joint(i) for i in range(self.model.njnt) if self.model.jnt_type[i] in kinds]
        free = [joint.name for joint in joints if joint.name not in self.joints]
        for joint, values in scene.items():
            if joint not in free:
                raise ConfigError(f"scene: expected joints that nothing drives ({', '.join(free)}), got '{joint}'")
            if not np.isfinite(values).all():
                raise ConfigError(f"scene: expected finite values, got {values} for '{joint}'")
        self._scene = {**self._scene, **scene}
        place(self.model, self.data, scene)

    def command(self, values: np.ndarray) -> None:
        """Give the actuators new targets [joints]; they follow them until the next."""
        self.model.actuator_biasprm[:, 1] = self._stiffness
        self.data.ctrl[self._actuators] = values

    def go_limp(self) -> None:
        """Only damp the joints: no position is held, no effort is made."""
        self.data.ctrl[:] = 0.0
        self.model.actuator_biasprm[:, 1] = 0.0  # of a position servo; others have none

    def push(self, axis: str, speed: float) -> None:
        """Change the base's velocity along an axis of the world by so many m/s.

        Raises:
            ConfigError: there is no such axis, or the base cannot move.
        """
        if axis not in AXES:
            raise ConfigError(f"target: expected an axis ({', '.join(AXES)}), got '{axis}'")
        self.data.qvel[:] += self._base.impulse(self.model, self.data, axis, speed)

    def step(self, steps: int) -> bool:
        """Advance. False where the physics broke; the robot is then back at its home pose."""
        mujoco.mj_step(self.model, self.data, nstep=steps)
        broken = any(self.data.warning[int(kind)].number for kind in BREAKDOWNS)
        if broken:  # MuJoCo has put it into another pose
            self.reset()
        return not broken

    def read(self) -> Sensors:
        """What the robot feels now."""
        data = self.data
        return Sensors(
            positions=data.qpos[self._qpos],
            velocities=data.qvel[self._qvel],
            efforts=data.actuator_force[self._actuators],
            base_position=self._base.position(data),
            named={name: value.copy() for name, value in self._sensors.items()},
        )


class _Base:
    """The body that carries the robot: where its orientation is measured, else the root of its joints."""

    def __init__(self, model: mujoco.MjModel, commanded: np.ndarray) -> None:
        self._site = -1
        self._body = int(model.body_rootid[int(model.dof_bodyid[commanded[0]])])
        for i in range(model.nsensor):
            if model.sensor(i).name == "orientation" and model.sensor_objtype[i] == int(mujoco.mjtObj.mjOBJ_SITE):
                self._site = int(model.sensor_objid[i])
                self._body = int(model.site_bodyid[self._site])
        self._free = np.setdiff1d(np.arange(model.nv), commanded)

    def position(self, data: mujoco.MjData) -> np.ndarray:
        """[3] m, world frame."""
        position: np.ndarray = (data.xpos[self._body] if self._site < 0 else data.site_xpos[self._site]).copy()
        return position

    def impulse(self, model: mujoco.MjModel, data: mujoco.MjData, axis: str, speed: float) -> np.ndarray:
        """Change of qvel [nv] that moves the base by `speed` along the axis, through the joints nobody commands."""
        jacobian = np.zeros((3, model.nv))
        mujoco.mj_jacBody(model, data, jacobian, None, self._body)
        wanted = speed * np.eye(3)[AXES.index(axis)]
        change = np.zeros(model.nv)
        change[self._free] = np.linalg.pinv(jacobian[:, self._free]) @ wanted
        if not np.allclose(jacobian @ change, wanted, atol=1e-6):
            raise ConfigError(f"push: expected a base that moves along {axis}, this one does not")
        return change


def open_world(bundle_path: str, mjcf: str, objective: str = "") -> World:
    """The robot of a bundle, of a bundle with another MJCF, or of an MJCF alone.

    A bundle's scene is drawn for `objective`, else for its first one.

    Raises:
        BundleError: the bundle or the MJCF is unusable, or they do not fit each other.
        ConfigError: neither is given.
    """
    if bundle_path:
        bundle = load_bundle(bundle_path)
        contract = bundle.manifest.contract
        model = load_model(bundle, Path(mjcf) if mjcf else None)
        first = find_objective(bundle.manifest, objective) if objective else bundle.manifest.objectives[0]
        scene = draw_scene(first.scene, np.random.default_rng())
        sources = [term.source for term in contract.observation]
        observed = [source.removeprefix(SENSOR_PREFIX) for source in sources if source.startswith(SENSOR_PREFIX)]
        return World(model, [joint.name for joint in contract.joints], contract.control_rate, scene, observed)
    if not mjcf:
        raise ConfigError("expected the parameter bundle_path (a bundle with its robot) or mjcf (a robot), got neither")
    try:
        model = mujoco.MjModel.from_xml_path(mjcf)
    except ValueError as error:
        raise BundleError(f"MuJoCo cannot load '{mjcf}': {' '.join(str(error).split())}") from error
    if not model.nu or (model.actuator_trntype != int(mujoco.mjtTrn.mjTRN_JOINT)).any():
        raise BundleError(f"'{mjcf}': expected actuators that each drive a joint")
    return World(model, [model.joint(int(joint)).name for joint in model.actuator_trnid[:, 0]])


def _command_type(model: mujoco.MjModel, actuator: int) -> str:
    """MuJoCo's position servo has bias -kp on the length, its velocity servo -kv on the velocity alone."""
    if model.actuator_biastype[actuator] != int(mujoco.mjtBias.mjBIAS_AFFINE):
        return "effort"
    return "position" if model.actuator_biasprm[actuator, 1] else "velocity"
