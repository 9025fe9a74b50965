"""Direct switches of a bundle against those along the ways its matrix allows: same pairs, starts and moments.

    python benchmarks/switching.py runs/signs/bundle --seed 1000

The seed must not be that of the matrix, or the episodes that chose the ways would also judge them.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from pgx_core.play import load_model
from pgx_core.serving import ServingConfig, load_bundle
from pgx_core.serving.ways import Ways
from pgx_core.switching.measure import fall_interval
from pgx_core.switching.trial import SwitchConfig, switch


def main() -> None:
    """Print a line for each pair that is not safe directly."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1000)
    options = parser.parse_args()
    bundle = load_bundle(options.bundle)
    if bundle.switches is None:
        raise SystemExit("run `pgx switch-matrix` on the bundle first")
    model = load_model(bundle, None)
    config = SwitchConfig(episodes=options.episodes, seed=options.seed, blend_s=bundle.switches.blend_s)
    ways = Ways(bundle.switches, ServingConfig().switch_fall_rate, "")
    total = {"direct": [0, 0], "routed": [0, 0]}
    for pair in bundle.switches.pairs:
        ends, way = (pair.source, pair.target), ways.way(pair.source, pair.target)
        start = bundle.switches.starts[pair.source]
        if way.first == pair.target or start is None:
            continue
        line = f"{pair.source:<12} -> {pair.target:<12}"
        for name, served in (("direct", replace(bundle, switches=None)), ("routed", bundle)):
            if name == "routed" and not way.first:
                line += "  refused"
                continue
            longest = bundle.switches.watched_s * len(bundle.switches.starts)
            trials = [
                switch(served, model, *ends, start, config, index, longest if name == "routed" else 0.0)
                for index in range(options.episodes)
            ]
            tried = [trial for trial in trials if len(trial.rows)]
            fell = sum(bool(trial.fell) for trial in tried)
            missed = sum(trial.reached is None and not trial.fell for trial in tried)
            if way.first:
                total[name][0] += fell
                total[name][1] += len(tried)
            line += f"  {name} {fell} of {len(tried)}" + (f" ({missed} never reached it)" if missed else "")
        print(f"{line}  {way.reason}", flush=True)
    for name, (fell, tried) in total.items():
        low, high = fall_interval(fell, tried)
        print(f"{name}, pairs with a way: {fell} of {tried} fell ({low:.1%} to {high:.1%})")


if __name__ == "__main__":
    main()
