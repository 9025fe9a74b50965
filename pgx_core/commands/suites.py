"""`pgx suites`."""

from __future__ import annotations

from pgx_core.objectives.suites import SUITES


def main() -> None:
    """List the embedded suites and their objectives."""
    for suite in SUITES.values():
        print(f"{suite.name}: {suite.robot.name}, {len(suite.objectives)} objectives, {suite.steps:,} steps a method")
        print(f"    {' '.join(suite.names)}")
