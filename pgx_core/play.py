"""Run a bundle on its simulated robot, exactly as a robot would: through `pgx_core.serving`, joint by name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from jaxtyping import Float

from pgx_core.contract import SENSOR_PREFIX, PolicyContract
from pgx_core.errors import BundleError, ConfigError
from pgx_core.observation import Readings
from pgx_core.scene import Placement, draw_scene
from pgx_core.serving import Answer, Bundle, Controller, Instant, Mode, Request, ServingConfig, Tick, check_robot
from pgx_core.serving.checks import find_objective

TOOL, TARGET = "tool", "target"  # sensors that a reaching robot has, m
MOTIONS = {"velocity": "m/s", "lateral": "m/s", "turn": "rad/s"}  # commanded values that a film shows, and units
START_SPEED = 0.05  # standard deviation of the joints' first velocities, rad/s or m/s
BASE_SENSORS = {
    "projected_gravity": "orientation",
    "angular_velocity": "angular_velocity",
    "linear_velocity": "linear_velocity",
}


@dataclass(frozen=True)
class Episode:
    """What happened, T control ticks."""

    times: Float[np.ndarray, "T"]  # s
    qpos: Float[np.ndarray, "T nq"]
    commands: Float[np.ndarray, "T joints"]
    velocity: Float[np.ndarray, "T 3"]  # ahead and to the left (m/s), and turning left (rad/s): see MOTIONS
    target: Float[np.ndarray, "T 3"]  # those that the objective commands; NaN where it does not
    distance: Float[np.ndarray, "T"]  # from the tool to its target, m; NaN for a robot without such sensors
    objectives: tuple[str, ...]
    groups: tuple[str, ...]
    observed: Mapping[str, Float[np.ndarray, "T"]]  # of the base and of sensors by name, value by value
    refusals: int  # ticks whose readings or answer were refused
    stops: tuple[str, ...]  # when and why the robot was damped


def load_model(bundle: Bundle, mjcf: Path | None) -> mujoco.MjModel:
    """The robot of the bundle, or another MJCF of it.

    Raises:
        BundleError: there is none, it does not load, or it does not fit the contract: other joints, a missing
            sensor, a physics rate that the control rate does not divide.
    """
    path = mjcf or (bundle.folder / bundle.manifest.robot_file if bundle.manifest.robot_file else None)
    if path is None:
        raise BundleError(f"'{bundle.folder}' carries no robot: give its MJCF with --mjcf")
    try:
        model = mujoco.MjModel.from_xml_path(str(path))
    except ValueError as error:
        raise BundleError(f"MuJoCo cannot load '{path}': {' '.join(str(error).split())}") from error
    try:
        _check_model(model, bundle.manifest.contract)
    except BundleError as error:
        raise BundleError(f"'{path}' does not fit: {error}") from error
    return model


def _check_model(model: mujoco.MjModel, contract: PolicyContract) -> None:
    on_joint = model.actuator_trntype == int(mujoco.mjtTrn.mjTRN_JOINT)
    if not on_joint.all():
        raise BundleError("expected every actuator to drive a joint")
    check_robot(contract, [model.joint(int(joint)).name for joint in model.actuator_trnid[:, 0]])
    sensors = [model.sensor(index).name for index in range(model.nsensor)]
    for term in contract.observation:
        name = BASE_SENSORS.get(term.source, term.source.removeprefix(SENSOR_PREFIX))
        if (term.source in BASE_SENSORS or term.source.startswith(SENSOR_PREFIX)) and name not in sensors:
            raise BundleError(
                f"the observation '{term.source}' needs a sensor '{name}' (it has: {', '.join(sensors) or 'none'})"
            )
    ratio = 1.0 / (contract.control_rate * model.opt.timestep)
    if abs(ratio - round(ratio)) > 1e-6 or round(ratio) < 1:
        raise BundleError(f"its timestep {model.opt.timestep:g} s must divide 1/{contract.control_rate:g} s")


def ticks_of(seconds: float, contract: PolicyContract) -> int:
    """Control ticks in a time.

    Raises:
        ConfigError: there is none.
    """
    if not (math.isfinite(seconds) and round(seconds * contract.control_rate) >= 1):
        raise ConfigError(f"seconds: expected {1 / contract.control_rate:g} s (a control tick) or more, got {seconds}")
    return round(seconds * contract.control_rate)


def play(bundle: Bundle, model: mujoco.MjModel, schedule: Sequence[str], seconds_each: float, seed: int = 0) -> Episode:
    """Pursue the objectives of `schedule` one after another, `seconds_each` each, without a reset in between.

    Every objective draws its scene when it is asked for: a target jumps, the robot does not.

    Raises:
        BundleError: the bundle does not know an objective.
        ConfigError: the time is too short.
    """
    contract = bundle.manifest.contract
    commanded = {objective.name: objective.command for objective in bundle.manifest.objectives}
    targets = {name: [command.get(motion, np.nan) for motion in MOTIONS] for name, command in commanded.items()}
    for objective in schedule:
        find_objective(bundle.manifest, objective)  # an unknown one is refused before the start
    free = ServingConfig(initial_objective=schedule[0], dwell_s=0.0, switch_fall_rate=1.0)
    robot = SimulatedRobot(bundle, model, free, seed)
    ticks = ticks_of(seconds_each, contract)
    rows: list[tuple[Any, ...]] = []
    refusals, stops = 0, list[str]()
    for objective in schedule:
        if rows:
            robot.request(objective)
        for _ in range(ticks):
            time, tick = robot.data.time, robot.tick()
            refusals += bool(tick.refusal)
            stops += [f"{time:.2f} s: {event.reason}" for event in tick.events if event.target == Mode.DAMP.value]
            mujoco.mj_subtreeVel(model, robot.data)
            command, seen = robot.data.ctrl[robot.actuators].copy(), (robot.velocity(), robot.distance())
            rows.append(
                (robot.data.time, robot.data.qpos.copy(), command, *seen, objective, tick.group, robot.observed())
            )
    times, qpos, commands, velocities, distances, objectives, groups, sensors = zip(*rows, strict=True)
    target = np.array([targets[objective] for objective in objectives])
    observed = {name: np.array([values[name] for values in sensors]) for name in sensors[0]}
    told = (target, np.array(distances), objectives, groups, observed, refusals, tuple(stops))
    return Episode(np.array(times), np.array(qpos), np.array(commands), np.array(velocities), *told)


class SimulatedRobot:
    """A bundle's controller on its robot in MuJoCo, active from the start.

    Args:
        bundle: verified policies.
        model: their robot.
        config: settings of the controller.
        seed: of the first velocities, and of the scenes.
    """

    def __init__(self, bundle: Bundle, model: mujoco.MjModel, config: ServingConfig, seed: int) -> None:
        contract = bundle.manifest.contract
        self.model, self.data = model, _start(model, seed)
        self.controller = Controller(bundle, config)
        self.actuators = [_actuator_of(model, joint.name) for joint in contract.joints]
        self.root = _root(model)  # the body that carries the joints' tree
        self._substeps = round(1.0 / (contract.control_rate * model.opt.timestep))
        self._scenes = {objective.name: objective.scene for objective in bundle.manifest.objectives}
        self._rng = np.random.default_rng((seed, 1))  # apart from the start's, which a scene must not change
        self._set_scene(config.initial_objective)
        self.controller.activate(self._feed())

    def request(self, objective: str) -> Answer:
        """Ask for an objective, and put its scene before the robot."""
        self._set_scene(objective)
        return self.controller.request(Request(objective), self._now)

    def velocity(self) -> Float[np.ndarray, "3"]:
        """Of the centre of mass ahead and to the left, m/s, and of the base's turning left, rad/s.

        Ahead is the heading of a floating base, and the world's x axis for a robot without one, which does not turn.
        """
        velocity = self.data.subtree_linvel[self.root]
        first = self.model.body_jntadr[self.root]
        if first < 0 or self.model.jnt_type[first] != int(mujoco.mjtJoint.mjJNT_FREE):
            return np.array([velocity[0], velocity[1], 0.0])
        pose = self.data.xmat[self.root].reshape(3, 3)
        ahead = pose[:2, 0] / max(float(np.hypot(*pose[:2, 0])), 1e-6)
        spin = self.data.qvel[self.model.jnt_dofadr[first] + np.arange(3, 6)]  # in the base's own frame
        return np.array([velocity[:2] @ ahead, velocity[1] * ahead[0] - velocity[0] * ahead[1], pose[2] @ spin])

    def distance(self) -> float:
        """From the tool to its target, m; NaN for a robot without such sensors."""
        return aim_error(self.model, self.data)

    def observed(self) -> dict[str, float]:
        """What the policy observes of the base's motion and by sensors of its own, value by value."""
        sources = [term.source for term in self.controller.contract.observation]
        seen = {"velocity": "linear_velocity", "lateral": "linear_velocity", "turn": "angular_velocity"}
        motion = dict(zip(MOTIONS, self.velocity(), strict=True))
        values = {f"{name}, {unit}": float(motion[name]) for name, unit in MOTIONS.items() if seen[name] in sources}
        for source in sources:
            if source.startswith(SENSOR_PREFIX):
                name = source.removeprefix(SENSOR_PREFIX)
                read = self.data.sensor(name).data
                names = [name] if len(read) == 1 else [f"{name} {index}" for index in range(len(read))]
                values |= dict(zip(names, map(float, read), strict=True))
        return values

    def tick(self) -> Tick:
        """One control tick, and the physics until the next."""
        tick = self.controller.tick(self._feed())
        if tick.command is not None:
            self.data.ctrl[self.actuators] = tick.command
        mujoco.mj_step(self.model, self.data, nstep=self._substeps)
        return tick

    @property
    def _now(self) -> Instant:
        return Instant(monotonic=self.data.time, ros=self.data.time)

    def _set_scene(self, objective: str) -> None:
        scene = self._scenes.get(objective)
        if scene:
            place(self.model, self.data, draw_scene(scene, self._rng))

    def _feed(self) -> Instant:
        readings = read(self.model, self.data, self.controller.contract)
        return _feed(self.controller, readings, self.data.time)


def _feed(controller: Controller, readings: Readings, time: float) -> Instant:
    """Give the controller what a robot's drivers would, now."""
    now = Instant(monotonic=time, ros=time)
    names = [joint.name for joint in controller.contract.joints]
    controller.joint_state(names, readings.joint_positions, readings.joint_velocities, time, now)
    controller.imu(readings.orientation, readings.angular_velocity, time, now)
    if readings.linear_velocity is not None:
        controller.odometry(readings.linear_velocity, time, now)
    for name, values in readings.sensors.items():
        controller.sensor(name, values, time, now)
    return now


def read(model: mujoco.MjModel, data: mujoco.MjData, contract: PolicyContract) -> Readings:
    """The simulated robot's sensors, in the contract's joint order."""
    joints = [model.joint(joint.name) for joint in contract.joints]
    sensors = {model.sensor(i).name: data.sensor(i).data.copy() for i in range(model.nsensor)}
    return Readings(
        joint_positions=np.array([data.qpos[joint.qposadr[0]] for joint in joints]),
        joint_velocities=np.array([data.qvel[joint.dofadr[0]] for joint in joints]),
        last_action=np.zeros(len(joints)),  # the controller has its own
        orientation=sensors.get("orientation"),
        angular_velocity=sensors.get("angular_velocity"),
        linear_velocity=sensors.get("linear_velocity"),
        sensors=sensors,
    )


def place(model: mujoco.MjModel, data: mujoco.MjData, placement: Placement) -> None:
    """Put hinges and slides where they shall be at once; the sensors then see them there.

    Raises:
        BundleError: the model has no such joint.
    """
    for name, (position, velocity) in placement.items():
        index = mujoco.mj_name2id(model, int(mujoco.mjtObj.mjOBJ_JOINT), name)
        if index < 0:
            raise BundleError(f"the scene moves the joint '{name}', which the robot's MJCF lacks")
        data.qpos[model.jnt_qposadr[index]], data.qvel[model.jnt_dofadr[index]] = position, velocity
    mujoco.mj_forward(model, data)


def aim_error(model: mujoco.MjModel, data: mujoco.MjData) -> float:
    """From the sensor `tool` to the sensor `target`, m; NaN where they are not both."""
    sensors = (mujoco.mj_name2id(model, int(mujoco.mjtObj.mjOBJ_SENSOR), name) for name in (TOOL, TARGET))
    tool, target = (data.sensor(index).data if index >= 0 else np.full(1, np.nan) for index in sensors)
    return float(np.linalg.norm(tool - target)) if tool.shape == target.shape else math.nan


def _start(model: mujoco.MjModel, seed: int) -> mujoco.MjData:
    data = mujoco.MjData(model)
    names = [model.key(i).name for i in range(model.nkey)]
    if "home" in names:
        mujoco.mj_resetDataKeyframe(model, data, names.index("home"))
    data.qvel[:] = START_SPEED * np.random.default_rng(seed).standard_normal(model.nv)
    mujoco.mj_forward(model, data)
    return data


def _actuator_of(model: mujoco.MjModel, joint: str) -> int:
    index = model.joint(joint).id
    return next(i for i in range(model.nu) if model.actuator_trnid[i, 0] == index)


def _root(model: mujoco.MjModel) -> int:
    """The body that carries the first commanded joint's tree."""
    body = int(model.jnt_bodyid[int(model.actuator_trnid[0, 0])])
    return int(model.body_rootid[body])
