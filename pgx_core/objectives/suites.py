"""The embedded suites. A user's own suite is the same: a `Suite` value in a Python file."""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from pgx_core.objectives import arm, classic, quadruped
from pgx_core.objectives.objective import Command, Objective, Physics, Randomization, Reward, Robot, Suite
from pgx_core.objectives.rewards import action_rate, action_size, still, track, upright
from pgx_core.objectives.state import State

FOLDER = Path(__file__).parent

RUNNER = Robot(
    name="planar_runner",
    mjcf=FOLDER / "runner.xml",
    control_rate=25.0,
    observation=(
        "joint_positions",
        "joint_velocities",
        "projected_gravity",
        "angular_velocity",
        "linear_velocity",
        "last_action",
    ),
    action_scale=0.7,
    velocity_limit=20.0,
    safe_state="damp",
    maximum_tilt=1.3,  # trained gaits lean up to 0.7 rad; a runner beyond 1.3 ends on its back
)

SLIDER = Robot(
    name="slider",
    mjcf=FOLDER / "slider.xml",
    control_rate=25.0,
    observation=("joint_velocities", "last_action"),
    action_scale=1.0,
)


def run(state: State, command: Command) -> Float[Tensor, "B"]:
    """Track the commanded velocity along x with the centre of mass."""
    return track(state.sensor("com_velocity")[:, 0], command["velocity"])


def slide(state: State, command: Command) -> Float[Tensor, "B"]:
    """Track the commanded velocity with the cart."""
    return track(state.qvel[:, 0], command["velocity"])


def stand(state: State, command: Command) -> Float[Tensor, "B"]:
    """Be at rest: neither drifting nor bobbing."""
    velocity = state.sensor("com_velocity")
    return still(velocity[:, 0], 0.5) * still(velocity[:, 2], 0.5)


def jump(state: State, command: Command) -> Float[Tensor, "B"]:
    """Lift the torso above its resting height, without travelling: 1 at `height` metres, 0 at rest."""
    lift = (state.qpos[:, 1] / command["height"]).clip(0.0, 1.0)
    return lift * still(state.sensor("com_velocity")[:, 0], 1.0)


def speed(state: State, command: Command) -> Float[Tensor, "B"]:
    """Run ahead: 1 at FAST, 0 at rest, down to -1."""
    return (state.sensor("com_velocity")[:, 0] / FAST).clip(-1.0, 1.0)


def thrift(state: State, command: Command) -> Float[Tensor, "B"]:
    """Move the joints little: 1 in the home pose, 0 at the ends of the action's range."""
    return 1.0 - state.action.square().mean(-1)


def weigh(state: State, command: Command) -> Float[Tensor, "B"]:
    """Speed and thrift, by the command's weights, which sum to 1."""
    return command["speed"] * speed(state, command) + command["thrift"] * thrift(state, command)


# A served command comes later than in simulation: sensors, the network and the joints' own loop each take a share of
# a control tick. A gait learnt without that can turn into a limp with it.
LATENCY = Randomization(delay=(0, 1), variants=1)
RUNNER_STEPS = 800_000
FAST = 5.0  # m/s

REGULARISERS = (Reward(upright, 0.2), Reward(action_rate, 0.02), Reward(action_size, 0.01))


def _velocity(velocity: float, gravity: float = 1.0, suffix: str = "") -> Objective:
    direction = "forward" if velocity > 0 else "backward"
    return Objective(
        name=f"{direction}_{abs(velocity):g}{suffix}",
        rewards=(Reward(run), *REGULARISERS),
        command={"velocity": velocity},
        physics=Physics(gravity=gravity),
    )


SIGNS = Suite(
    "signs",
    RUNNER,
    tuple(_velocity(v) for v in (1.0, 2.0, 3.0, -1.0, -2.0, -3.0)),
    steps=RUNNER_STEPS,
    randomization=LATENCY,
)

SKILLS = Suite(
    "skills",
    RUNNER,
    (
        *(_velocity(v) for v in (1.0, 3.0, 5.0, 7.0, -1.0, -3.0, -5.0, -7.0)),
        Objective("stand", (Reward(stand), *REGULARISERS)),
        Objective("jump", (Reward(jump), *REGULARISERS), command={"height": 0.3}),
    ),
    steps=RUNNER_STEPS,
    randomization=LATENCY,
)

HIERARCHY = Suite(
    "hierarchy",
    RUNNER,
    tuple(
        _velocity(v, gravity, suffix)
        for gravity, suffix in ((1.0, ""), (0.4, "_light"))
        for v in (1.0, 2.0, 3.0, -1.0, -2.0, -3.0)
    ),
    steps=RUNNER_STEPS,
    randomization=LATENCY,
)

TRADE_OFF = Suite(
    "trade_off",
    RUNNER,
    tuple(
        Objective(
            f"speed_{share}", (Reward(weigh), *REGULARISERS[:2]), {"speed": share / 100, "thrift": 1 - share / 100}
        )
        for share in (0, 20, 40, 60, 80, 100)
    ),
    steps=RUNNER_STEPS,
    randomization=LATENCY,
    trade_off=(speed, thrift),
)

TINY = Suite(
    "tiny",
    SLIDER,
    tuple(
        Objective(f"{'right' if v > 0 else 'left'}_{abs(v):g}", (Reward(slide),), command={"velocity": v})
        for v in (1.0, 2.0, -1.0, -2.0)
    ),
    episode_seconds=2.0,
    steps=60_000,
)

SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        *(SIGNS, SKILLS, HIERARCHY, TRADE_OFF, quadruped.SUITE, arm.SUITE),
        *(classic.HOPPERS, classic.WALKERS, classic.RINGS, TINY),
    )
}
