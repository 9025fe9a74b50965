"""Serve a bundle without torch or MuJoCo: sensor readings in, joint commands out, objectives switched while running.

python examples/06_serve.py [BUNDLE]    the default is what 05_train_and_export.py writes
"""

from __future__ import annotations

import sys

import numpy as np

from pgx_core.observation import Readings
from pgx_core.serving import PolicyServer, load_bundle

MASS, DAMPING = 1.0, 0.5  # kg, N s/m: the cart of the suite `tiny`, in two lines instead of a simulator


def main(folder: str = "runs/examples/tiny/bundle") -> None:
    """Chase one velocity after another with a cart."""
    bundle = load_bundle(folder)  # verified: checksums, shapes, limits, golden pairs
    contract = bundle.manifest.contract
    server = PolicyServer(bundle, objective=bundle.manifest.objectives[0].name)
    velocity, dt = 0.0, 1.0 / contract.control_rate
    for objective in (*bundle.manifest.objectives, bundle.manifest.objectives[0]):
        group = server.select(objective.name)  # the command ramps over from the next tick on
        for _ in range(round(2.0 * contract.control_rate)):
            tick = server.tick(Readings(np.zeros(1), np.array([velocity]), last_action=np.zeros(1)))
            if tick.command is None:  # refused before there was a first command: leave the motor alone
                sys.exit(tick.refusal)
            velocity += dt * (float(tick.command[0]) - DAMPING * velocity) / MASS
        wanted = objective.command["velocity"]
        print(f"{objective.name:8} by {group}: wanted {wanted:5.2f} m/s, got {velocity:5.2f} {tick.refusal}")
    # A broken sensor changes nothing: the last command is repeated, and the tick says why.
    print("NaN reading:", server.tick(Readings(np.zeros(1), np.array([np.nan]), last_action=np.zeros(1))).refusal)
    print("loaded here:", "torch" if "torch" in sys.modules else "no torch")


if __name__ == "__main__":
    main(*sys.argv[1:])
