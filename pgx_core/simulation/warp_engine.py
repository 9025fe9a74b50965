"""MuJoCo Warp: all worlds step together, on a GPU or, for tests, on Warp's CPU device."""

from __future__ import annotations

from collections.abc import Callable

import mujoco
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pgx_core.errors import ConfigError
from pgx_core.simulation.robot_model import RobotModel

try:
    import mujoco_warp as mjw
    import warp as wp
except ImportError as error:
    raise ConfigError(
        "simulation.backend: warp needs MuJoCo Warp, which is not installed: pip install 'pgx-core[warp]'"
    ) from error

wp.config.log_level = wp.LOG_ERROR  # it warns of an absent GPU, and tells of every kernel it compiles
wp.init()

# What `vary_physics` alters, and what MuJoCo derives from it that the physics reads.
VARIED = (
    *("body_mass", "body_inertia", "body_subtreemass", "body_invweight0", "dof_invweight0", "tendon_invweight0"),
    *("geom_friction", "actuator_gainprm", "actuator_biasprm", "actuator_forcerange"),
)
# Not all overflows: to stop at the solver's iteration limit is what a model with few iterations asks for.
LOSSES = mjw.OverflowType.NEFC | mjw.OverflowType.NJMAX_NNZ | mjw.OverflowType.BROADPHASE
LOSSES |= mjw.OverflowType.NARROWPHASE | mjw.OverflowType.CCD | mjw.OverflowType.HFIELD
CONTACTS = 48  # per world on average: a quadruped lying down has about half of that


def open_device(name: str) -> torch.device:
    """The device, found to be there.

    Raises:
        ConfigError: there is no such GPU here, or torch or Warp cannot use it.
    """
    device = torch.device(name)
    if device.type == "cuda":
        here = min(torch.cuda.device_count(), len(wp.get_cuda_devices()))
        if (device.index or 0) >= here:
            raise ConfigError(
                f"simulation.device: expected a GPU that torch and Warp can use ({here} here), got {name}; "
                "check `nvidia-smi` and that torch is a CUDA build, or use cpu"
            )
        return torch.device("cuda", device.index or 0)
    return device


class WarpEngine:
    """W worlds as one model, whose masses, friction and the like are batched: a row per world.

    On a GPU, all substeps of a control step are one CUDA graph, and so is the forward pass of a reset; neither is
    captured twice, since no array is ever replaced. The host only launches them.

    As in `MujocoEngine`, no warm start is kept between control steps: what a reset computes for the worlds in its
    mask cannot reach the others, and positions, velocities and the sensors' last readings are all there is to save.
    """

    def __init__(
        self, robot: RobotModel, models: list[mujoco.MjModel], device: torch.device, contacts: int = 0
    ) -> None:
        """Args: `models` is each world's own; `contacts` per world, on average, is what memory is for (0: 48)."""
        self.robot = robot
        self.device = device
        contacts = contacts or CONTACTS
        self.advice = f"contacts were lost, so the physics is wrong: raise simulation.contacts above {contacts}"
        with wp.ScopedDevice(wp.device_from_torch(device)):
            self._model = _batched_model(models)
            self._data = mjw.make_data(
                models[0], nworld=len(models), nconmax=contacts, njmax=_rows(models[0], contacts)
            )
        data = self._data
        self._qpos, self._qvel, self._control, self._warmstart, self._time, self._sensors, self._overflow = map(
            wp.to_torch,
            (data.qpos, data.qvel, data.ctrl, data.qacc_warmstart, data.time, data.sensordata, data.overflow),
        )
        self._qpos.copy_(torch.from_numpy(robot.home_qpos))
        self._run_step = self._replayed(self._substeps)
        self._run_forward = self._replayed(lambda: mjw.forward(self._model, self._data))
        self._quaternions = _quaternions(robot.model)

    def reset(self, mask: Bool[Tensor, "W"], qpos: Float[Tensor, "W nq"], qvel: Float[Tensor, "W nv"]) -> None:
        """See Engine.

        The sensors of the start need a forward pass, and it goes over all worlds: which ones are new only the device
        knows. Where thousands of worlds run, some are new at nearly every step, so a condition would save nothing.
        """
        rows, kept = mask[:, None], self._sensors.clone()
        self._qpos.copy_(torch.where(rows, self._unit(qpos.float()), self._qpos))
        self._qvel.copy_(torch.where(rows, qvel.float(), self._qvel))
        self._time.masked_fill_(mask, 0.0)
        self._control.zero_()  # as `mj_resetData` does; the next step sets it for all
        self._warmstart.zero_()
        self._run_forward()
        self._sensors.copy_(torch.where(rows, self._sensors, kept))

    def step(self, command: Float[Tensor, "W joints"]) -> None:
        """See Engine."""
        self._control.copy_(command)
        self._warmstart.zero_()
        self._run_step()

    def read(self) -> tuple[Float[Tensor, "W nq"], Float[Tensor, "W nv"], Float[Tensor, "W sensors"]]:
        """See Engine."""
        return self._qpos.clone(), self._qvel.clone(), self._sensors.clone()

    def snapshot(self) -> dict[str, Tensor]:
        """See Engine."""
        return {"qpos": self._qpos.clone(), "qvel": self._qvel.clone(), "sensordata": self._sensors.clone()}

    def restore(self, snapshot: dict[str, Tensor]) -> None:
        """See Engine."""
        self._qpos.copy_(snapshot["qpos"])
        self._qvel.copy_(snapshot["qvel"])
        self._sensors.copy_(snapshot["sensordata"])

    def overflow(self) -> Bool[Tensor, ""]:
        """See LimitedEngine."""
        lost: Tensor = (self._overflow & int(LOSSES)).any()
        self._overflow.zero_()
        return lost

    def _substeps(self) -> None:
        for _ in range(self.robot.substeps):
            mjw.step(self._model, self._data)

    def _unit(self, qpos: Float[Tensor, "W nq"]) -> Float[Tensor, "W nq"]:
        """Quaternions of unit length: noise may have been added to them."""
        unit = qpos.clone()
        for start in self._quaternions:
            unit[:, start : start + 4] = torch.nn.functional.normalize(qpos[:, start : start + 4])
        return unit

    def _replayed(self, work: Callable[[], None]) -> Callable[[], None]:
        """The same work as one CUDA graph; on the CPU, as it is."""
        device = wp.device_from_torch(self.device)
        with wp.ScopedDevice(device):
            work()  # compiles, which a capture cannot
            if not device.is_cuda:
                return self._on_device(work)
            with wp.ScopedCapture(device) as capture:
                work()
        # In torch's own stream, the graph waits for what torch wrote, and torch for the graph, without the host.
        return lambda: wp.capture_launch(capture.graph, stream=wp.stream_from_torch(self.device))

    def _on_device(self, work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            with wp.ScopedDevice(wp.device_from_torch(self.device)):
                work()

        return run


def _batched_model(models: list[mujoco.MjModel]) -> mjw.Model:
    """One model for all worlds. What differs between theirs gets a row per world."""
    distinct = list({id(model): model for model in models}.values())
    number = {id(model): i for i, model in enumerate(distinct)}
    which = np.array([number[id(model)] for model in models])
    values = {name: np.stack([getattr(model, name) for model in distinct]) for name in VARIED}
    batched = {name: value[which] for name, value in values.items() if (value != value[0]).any()}
    model = mjw.put_model(models[0], batch_sizes={name: len(models) for name in batched})
    for name, value in batched.items():
        getattr(model, name).assign(value.astype(np.float32))
    gravity = np.stack([model.opt.gravity for model in distinct]).astype(np.float32)
    model.opt.gravity = wp.array(gravity[which], dtype=wp.vec3)
    model.opt.warn_overflow = 0  # it would print from the GPU at every step; `overflow` tells once
    return model


def _rows(model: mujoco.MjModel, contacts: int) -> int:
    """Rows of the constraint Jacobian that one world may need: all limits and dry friction at once, and contacts."""
    joints = int((model.jnt_limited != 0).sum() + (model.dof_frictionloss > 0).sum())
    tendons = int((model.tendon_limited != 0).sum() + (model.tendon_frictionloss > 0).sum())
    per_contact = max(1, 2 * (int(model.geom_condim.max(initial=1)) - 1))  # a pyramid has two rows for each direction
    return joints + tendons + 6 * int(model.neq) + per_contact * contacts


def _quaternions(model: mujoco.MjModel) -> list[int]:
    """Where each starts in qpos."""
    free, ball = int(mujoco.mjtJoint.mjJNT_FREE), int(mujoco.mjtJoint.mjJNT_BALL)
    joints = zip(model.jnt_type.tolist(), model.jnt_qposadr.tolist(), strict=True)
    return [address + 3 * (kind == free) for kind, address in joints if kind in (free, ball)]
