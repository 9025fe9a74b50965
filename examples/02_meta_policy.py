"""Train ONE policy on all objectives, its actor blind to which is asked for. It fails, and that is no obstacle.

python examples/02_meta_policy.py [SUITE] [FOLDER]    `tiny` (default) takes seconds, `signs` a minute
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from pgx_core.learning.layout import Member
from pgx_core.objectives.loading import load_suite
from pgx_core.training.evaluation import EvaluationConfig, evaluate
from pgx_core.training.session import TrainingConfig, train_population

META_SHARE = 0.15  # of the suite's steps; the groups get the rest


def main(reference: str = "tiny", folder: str = "runs/examples/02_meta_policy") -> None:
    """Train (a second call finds the checkpoint), and measure on every objective."""
    torch.set_num_threads(1)
    suite = load_suite(reference)
    config = TrainingConfig()
    everything = Member(objectives=tuple(range(len(suite.objectives))), conditioned=False, worlds=config.worlds)
    steps = round(META_SHARE * suite.steps)
    trained = train_population(suite, (everything,), config, steps, 0, Path(folder) / reference, "meta policy")

    scores = evaluate(trained.population, suite, EvaluationConfig()).scores[0]
    print(f"after {trained.rows[-1]['steps']:,} steps in {trained.seconds:.0f} s the one policy scores:")
    for name, score in zip(suite.names, scores, strict=True):
        print(f"  {name:12} {score:5.2f}")
    print(f"  {'mean':12} {scores.mean():5.2f}   (1 is perfect, 0 is standing still)")
    print("Blind to the objective, it cannot serve opposites: what one gains the other loses, and in the mean it is no")
    print("better than standing still. Its critic does see the objective, so the advantages still say which action")
    print("would have helped whom. That is all the next steps need.")


if __name__ == "__main__":
    main(*sys.argv[1:])
