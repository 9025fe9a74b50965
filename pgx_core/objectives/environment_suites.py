"""The embedded suites of environments: those of the method's paper (arXiv 2511.12779, section 4)."""

from __future__ import annotations

from pgx_core.environments.cartpole import CARTPOLE
from pgx_core.environments.environment import Task, drawn_tasks
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

ENVIRONMENT_SUITES: dict[str, EnvironmentSuite] = {suite.name: suite for suite in (CARTPOLE_SUITE,)}
