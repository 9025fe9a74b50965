"""The embedded suites of environments: those of the method's paper (arXiv 2511.12779, section 4)."""

from __future__ import annotations

from pgx_core.environments.cartpole import CARTPOLE
from pgx_core.environments.environment import Task, drawn_tasks
from pgx_core.environments.highway import HIGHWAY
from pgx_core.environments.lunarlander import LUNARLANDER
from pgx_core.environments.metaworld import FIXED_GOALS, MT10, MT50, RANDOM_GOALS
from pgx_core.objectives.environment_suite import EnvironmentSuite

CARTPOLE_SUITE = EnvironmentSuite(
    "cartpole",
    CARTPOLE,
    (
        Task("short_pole", {"pole_length": 0.25}),
        Task("long_pole", {"pole_length": 1.5}),
        Task("light_pole", {"pole_mass": 0.02}),
        Task("heavy_pole", {"pole_mass": 0.8}),
        Task("light_cart", {"cart_mass": 0.3}),
        Task("heavy_cart", {"cart_mass": 4.0}),
        Task("weak_gravity", {"gravity": 3.0}),
        Task("strong_gravity", {"gravity": 20.0}),
        Task("weak_force", {"force": 4.0}),
        Task("strong_force", {"force": 25.0}),
    ),
    held_out=drawn_tasks(
        {
            "pole_length": (0.25, 1.5),
            "pole_mass": (0.02, 0.8),
            "cart_mass": (0.3, 4.0),
            "gravity": (3.0, 20.0),
            "force": (4.0, 25.0),
        },
        20,
    ),
)

LUNARLANDER_SUITE = EnvironmentSuite(
    "lunarlander",
    LUNARLANDER,
    (
        Task("standard"),
        Task("gravity_3", {"gravity": -3.0}),
        Task("gravity_6", {"gravity": -6.0}),
        Task("gravity_8", {"gravity": -8.0}),
        Task("gravity_11", {"gravity": -11.5}),
        Task("wind_10", {"wind_power": 10.0, "turbulence_power": 0.0}),
        Task("wind_20", {"wind_power": 20.0, "turbulence_power": 0.0}),
        Task("turbulence", {"wind_power": 0.0, "turbulence_power": 2.0}),
        Task("storm", {"wind_power": 15.0, "turbulence_power": 1.5}),
        Task("light_storm", {"gravity": -5.0, "wind_power": 15.0, "turbulence_power": 1.5}),
    ),
    held_out=drawn_tasks({"gravity": (-11.5, -3.0), "wind_power": (0.0, 20.0), "turbulence_power": (0.0, 2.0)}, 20),
    steps=2_000_000,
)

HIGHWAY_SUITE = EnvironmentSuite(
    "highway",
    HIGHWAY,
    (
        Task("standard"),
        Task("sparse", {"vehicles_density": 0.6}),
        Task("dense", {"vehicles_density": 1.5}),
        Task("jam", {"vehicles_density": 2.0}),
        Task("two_lanes", {"lanes_count": 2}),
        Task("four_lanes", {"lanes_count": 4}),
        Task("five_lanes", {"lanes_count": 5}),
        Task("slow", {"reward_speed_low": 15.0, "reward_speed_high": 25.0}),
        Task("keep_right", {"right_lane_reward": 0.5, "high_speed_reward": 0.1}),
        Task("race", {"right_lane_reward": 0.0, "high_speed_reward": 0.8}),
    ),
    held_out=drawn_tasks({"vehicles_density": (0.6, 2.0), "lanes_count": (2, 5), "right_lane_reward": (0.0, 0.5)}, 20),
)

# Two suites that must never be mixed up: with fixed goals the same episode repeats, which is far easier.
METAWORLD_MT10_RANDOM = EnvironmentSuite(
    "metaworld_mt10_random", RANDOM_GOALS, tuple(map(Task, MT10)), steps=10_000_000
)
METAWORLD_MT10_FIXED = EnvironmentSuite("metaworld_mt10_fixed", FIXED_GOALS, tuple(map(Task, MT10)), steps=10_000_000)
METAWORLD_MT50_RANDOM = EnvironmentSuite(
    "metaworld_mt50_random", RANDOM_GOALS, tuple(map(Task, MT50)), steps=50_000_000
)

ENVIRONMENT_SUITES: dict[str, EnvironmentSuite] = {
    suite.name: suite
    for suite in (
        CARTPOLE_SUITE,
        LUNARLANDER_SUITE,
        HIGHWAY_SUITE,
        METAWORLD_MT10_FIXED,
        METAWORLD_MT10_RANDOM,
        METAWORLD_MT50_RANDOM,
    )
}
