"""Random switches of a moving robot, one after the other, along the ways that its bundle's switch matrix allows.

    python benchmarks/random_switches.py models/quadruped --switches 1000

A robot that falls, or is damped, is put on its feet again and counted. The seed must not be that of the matrix.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pgx_core.files import write_file
from pgx_core.play import SimulatedRobot, load_model
from pgx_core.records import to_json
from pgx_core.serving import Mode, ServingConfig, load_bundle
from pgx_core.switching.measure import fall_interval

STAY_S = (0.5, 3.0)  # s an objective is pursued before the next is asked for
PATIENCE_S = 30.0  # s that a switch along a long way may take


def main() -> None:
    """Print falls, refusals and the largest change of a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--switches", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    bundle = load_bundle(options.bundle)
    model, rng = load_model(bundle, None), np.random.default_rng(options.seed)
    contract = bundle.manifest.contract
    names = [objective.name for objective in bundle.manifest.objectives]
    reach = np.array([joint.velocity_limit for joint in contract.joints]) / contract.control_rate
    done, falls, refused, unreached, peak, robots = 0, [], [], [], 0.0, 0
    robot, now = None, ""
    with tqdm(total=options.switches, unit="switch") as bar:
        while done < options.switches:
            if robot is None:
                now, robots = str(rng.choice(names)), robots + 1
                robot = SimulatedRobot(bundle, model, ServingConfig(initial_objective=now), options.seed + robots)
                for _ in range(round(2 * contract.control_rate)):  # it starts in the air
                    previous = robot.tick().command
            target = str(rng.choice([name for name in names if name != now]))
            answer = robot.request(target)
            if not answer.accepted:
                refused.append((now, target))
                continue
            ticks, reached = round(rng.uniform(*STAY_S) * contract.control_rate), False
            for _ in range(round(PATIENCE_S * contract.control_rate) + ticks):
                tick = robot.tick()
                peak = max(peak, float((np.abs(tick.command - previous) / reach).max()))
                previous, reached = tick.command, reached or tick.objective == target
                ticks -= reached
                if tick.mode is Mode.DAMP or not ticks:
                    break
            if tick.mode is Mode.DAMP:
                falls.append((now, target))
                robot = None
            elif not reached:
                unreached.append((now, target))
            now, done = target, done + 1
            bar.update(1)
    low, high = fall_interval(len(falls), done)
    print(f"{len(falls)} of {done} switches fell ({low:.1%} to {high:.1%}): {sorted(falls)}")
    print(f"{len(refused)} requests were refused; {len(unreached)} switches were not reached in {PATIENCE_S:g} s")
    print(f"largest change of a command in a tick: {peak:.3f} of what the joint's speed limit allows")
    if options.json:
        figures = {"switches": done, "falls": len(falls), "refused": len(refused), "unreached": len(unreached)}
        write_file(options.json, to_json(figures | {"peak_share": peak, "seed": options.seed}))


if __name__ == "__main__":
    main()
