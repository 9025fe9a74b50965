"""`pgx suites`."""

from __future__ import annotations

from pgx_core.objectives.loading import EMBEDDED


def main() -> None:
    """List the embedded suites and their objectives."""
    for suite in EMBEDDED.values():
        print(f"{suite.name}: {suite.subject}, {len(suite.objectives)} objectives, {suite.steps:,} steps a method")
        print(f"    {' '.join(suite.names)}")
