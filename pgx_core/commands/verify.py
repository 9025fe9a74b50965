"""`pgx verify`."""

from __future__ import annotations

from pathlib import Path

import tyro

from pgx_core.serving import verify_bundle


def main(bundle: tyro.conf.Positional[Path]) -> None:
    """Check every file of a bundle, its contract and its golden pairs; name the first thing that is wrong.

    Args:
        bundle: bundle folder.
    """
    manifest = verify_bundle(bundle)
    policies = "1 policy" if len(manifest.groups) == 1 else f"{len(manifest.groups)} policies"
    print(
        f"{bundle}: good; {manifest.contract.robot}, {policies} for "
        f"{len(manifest.objectives)} objectives at {manifest.contract.control_rate:g} Hz"
    )
