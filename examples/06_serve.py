"""Serve a bundle without torch or MuJoCo: messages in, joint commands out, objectives switched while running.

python examples/06_serve.py [BUNDLE]    the default is what 05_train_and_export.py writes
"""

from __future__ import annotations

import sys

import numpy as np

from pgx_core.serving import Controller, Instant, Request, ServingConfig, load_bundle

MASS, DAMPING = 1.0, 0.5  # kg, N s/m: the cart of the suite `tiny`, in two lines instead of a simulator


def main(folder: str = "runs/examples/tiny/bundle") -> None:
    """Chase one velocity after another with a cart."""
    bundle = load_bundle(folder)  # verified: checksums, shapes, limits, golden pairs
    contract, objectives = bundle.manifest.contract, bundle.manifest.objectives
    controller = Controller(bundle, ServingConfig(initial_objective=objectives[0].name))
    velocity, dt = 0.0, 1.0 / contract.control_rate
    now = Instant(monotonic=0.0, ros=0.0)  # no clock inside: every call gets the time
    controller.joint_state(["rail"], [0.0], [velocity], now.ros, now)
    controller.activate(now)
    for objective in (*objectives, objectives[0]):
        answer = controller.request(Request(objective.name), now)  # the command ramps over from the next tick on
        for _ in range(round(2.0 * contract.control_rate)):
            controller.joint_state(["rail"], [0.0], [velocity], now.ros, now)  # as a driver's message would
            tick = controller.tick(now)
            velocity += dt * (float(tick.command[0]) - DAMPING * velocity) / MASS
            now = Instant(now.monotonic + dt, now.ros + dt)
        wanted = objective.command["velocity"]
        print(f"{objective.name:8} by {answer.group}: wanted {wanted:5.2f} m/s, got {velocity:5.2f} {tick.refusal}")
    # A broken sensor is refused at the gate; without good readings the last command is repeated, then the robot holds.
    print("NaN reading:", controller.joint_state(["rail"], [0.0], [np.nan], now.ros, now))
    print("loaded here:", "torch" if "torch" in sys.modules else "no torch")


if __name__ == "__main__":
    main(*sys.argv[1:])
