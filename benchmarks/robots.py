"""What a bundle achieves in simulation: falls, tracking, reaching and limits, nominal, randomised and beyond.

    python benchmarks/robots.py runs/quadruped/bundle --json quadruped.json --write

`--write` puts the figures into the bundle and its model card. It takes the bundle's suite, whose worlds and ends of
episodes are Python: hence no command of the product, which runs a bundle without its trainer.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pgx_core.export.amend import write_rehearsal
from pgx_core.export.card import rehearsal_section
from pgx_core.files import write_file
from pgx_core.objectives.loading import load_suite
from pgx_core.objectives.objective import Suite
from pgx_core.records import to_json
from pgx_core.rehearsal import RehearsalConfig, rehearse_bundle
from pgx_core.serving import load_bundle


def main(arguments: list[str] | None = None) -> None:
    """Print the card's table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--suite", help="NAME or FILE.py:VARIABLE; the bundle's name where not given")
    parser.add_argument("--episodes", type=int, default=RehearsalConfig.episodes)
    parser.add_argument("--widened", type=float, default=RehearsalConfig.widened)
    parser.add_argument("--seed", type=int, default=RehearsalConfig.seed)
    parser.add_argument("--threads", type=int, default=RehearsalConfig.threads)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    bundle = load_bundle(options.bundle)
    suite = load_suite(options.suite or bundle.manifest.name)
    if not isinstance(suite, Suite):
        raise SystemExit(f"'{suite.name}' has no robot")
    config = RehearsalConfig(options.episodes, options.widened, options.seed, options.threads)
    rehearsal = rehearse_bundle(bundle, suite, config)
    print(rehearsal_section(rehearsal))
    if options.json:
        write_file(options.json, to_json(rehearsal))
    if options.write:
        write_rehearsal(options.bundle, rehearsal)


if __name__ == "__main__":
    main()
