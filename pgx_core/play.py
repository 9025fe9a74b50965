"""Run a bundle on its simulated robot, exactly as a robot would: through `pgx_core.serving`, joint by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from jaxtyping import Float

from pgx_core.contract import SENSOR_PREFIX
from pgx_core.errors import BundleError
from pgx_core.observation import Readings
from pgx_core.serving import Bundle, PolicyServer


@dataclass(frozen=True)
class Episode:
    """What happened, T control ticks."""

    times: Float[np.ndarray, "T"]  # s
    qpos: Float[np.ndarray, "T nq"]
    commands: Float[np.ndarray, "T joints"]
    velocity: Float[np.ndarray, "T"]  # of the centre of mass along x, m/s
    target: Float[np.ndarray, "T"]  # the objective's commanded velocity; NaN where it has none
    objectives: tuple[str, ...]
    groups: tuple[str, ...]
    refusals: int  # ticks whose readings or answer were refused


def load_model(bundle: Bundle, mjcf: Path | None) -> mujoco.MjModel:
    """The robot of the bundle, or another MJCF of it.

    Raises:
        BundleError: there is none, it does not load, or lacks a joint or sensor that the contract names.
    """
    path = mjcf or (bundle.folder / bundle.manifest.robot_file if bundle.manifest.robot_file else None)
    if path is None:
        raise BundleError(f"'{bundle.folder}' carries no robot (it needs meshes): give its MJCF with --mjcf")
    try:
        model = mujoco.MjModel.from_xml_path(str(path))
    except ValueError as error:
        raise BundleError(f"MuJoCo cannot load '{path}': {' '.join(str(error).split())}") from error
    joints = {model.joint(int(model.actuator_trnid[i, 0])).name for i in range(model.nu)}
    expected = {joint.name for joint in bundle.manifest.contract.joints}
    if joints != expected:
        raise BundleError(f"'{path}': expected actuators on {sorted(expected)}, found {sorted(joints)}")
    return model


def play(bundle: Bundle, model: mujoco.MjModel, schedule: Sequence[str], seconds_each: float, seed: int = 0) -> Episode:
    """Pursue the objectives of `schedule` one after another, `seconds_each` each, without a reset in between."""
    contract = bundle.manifest.contract
    commands = {objective.name: objective.command for objective in bundle.manifest.objectives}
    actuators = [_actuator_of(model, joint.name) for joint in contract.joints]
    server = PolicyServer(bundle, schedule[0])
    data = _start(model, seed)
    ticks = round(seconds_each * contract.control_rate)
    substeps = round(1.0 / (contract.control_rate * model.opt.timestep))
    rows, refusals = [], 0
    for objective in schedule:
        server.select(objective)
        for _ in range(ticks):
            tick = server.tick(read(model, data, bundle))
            refusals += bool(tick.refusal)
            if tick.command is not None:
                data.ctrl[actuators] = tick.command
            mujoco.mj_step(model, data, nstep=substeps)
            mujoco.mj_subtreeVel(model, data)
            velocity = data.subtree_linvel[_root(model), 0]
            rows.append(
                (data.time, data.qpos.copy(), data.ctrl[actuators].copy(), velocity,
                 commands[objective].get("velocity", np.nan), objective, tick.group)
            )  # fmt: skip
    times, qpos, ctrl, velocity, target, objectives, groups = zip(*rows, strict=True)
    return Episode(
        np.array(times), np.array(qpos), np.array(ctrl), np.array(velocity), np.array(target), objectives, groups, refusals
    )


def read(model: mujoco.MjModel, data: mujoco.MjData, bundle: Bundle) -> Readings:
    """The simulated robot's sensors, in the contract's joint order."""
    contract = bundle.manifest.contract
    joints = [model.joint(joint.name) for joint in contract.joints]
    wanted = {term.source.removeprefix(SENSOR_PREFIX) for term in contract.observation}
    sensors = {model.sensor(i).name: data.sensor(i).data.copy() for i in range(model.nsensor)}
    return Readings(
        joint_positions=np.array([data.qpos[joint.qposadr[0]] for joint in joints]),
        joint_velocities=np.array([data.qvel[joint.dofadr[0]] for joint in joints]),
        last_action=np.zeros(len(joints)),  # the server's own
        orientation=sensors.get("orientation"),
        angular_velocity=sensors.get("angular_velocity"),
        linear_velocity=sensors.get("linear_velocity"),
        sensors={name: value for name, value in sensors.items() if name in wanted},
    )


def _start(model: mujoco.MjModel, seed: int) -> mujoco.MjData:
    data = mujoco.MjData(model)
    names = [model.key(i).name for i in range(model.nkey)]
    if "home" in names:
        mujoco.mj_resetDataKeyframe(model, data, names.index("home"))
    data.qvel[:] = 0.05 * np.random.default_rng(seed).standard_normal(model.nv)
    mujoco.mj_forward(model, data)
    return data


def _actuator_of(model: mujoco.MjModel, joint: str) -> int:
    index = model.joint(joint).id
    return next(i for i in range(model.nu) if model.actuator_trnid[i, 0] == index)


def _root(model: mujoco.MjModel) -> int:
    """The body that carries the first commanded joint's tree."""
    body = int(model.jnt_bodyid[int(model.actuator_trnid[0, 0])])
    return int(model.body_rootid[body])
