"""What a comparison found: a row per method, the gain of grouping, and the sentence they come down to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from pgx_core.comparison.statistics import Interval, estimate, gain, improvement, interquartile_mean, mean
from pgx_core.report.data import MethodScores
from pgx_core.report.labels import decimal, label, short_number, signed
from pgx_core.report.verdict import judge
from pgx_core.run import Run
from pgx_core.training.methods import Method, is_conditioned, is_single
from pgx_core.types import Partition, load_record

NOTE = (
    "IQM: interquartile mean over seeds and objectives. Intervals: 95% bootstrap of whole seeds, widened for "
    "their small number. Parameters: of all of a method's actors, median over seeds."
)
MIN_SEEDS = 4  # for a verdict: by luck alone all seeds of two equal methods are apart in 1 of 35 cases, of 3 in 1 of 10


@dataclass(frozen=True)
class Row:
    """One method over all seeds."""

    method: Method
    scores: Float[np.ndarray, "S n"]  # of every seed and objective
    score: Interval  # interquartile mean over seeds and objectives
    success: Interval | None  # mean share of episodes that succeeded; None where the suite reports none
    beats: Interval | None  # probability that it beats the best single policy on an objective; None for that one itself
    parameters: int  # actor parameters of all its policies, median over seeds


@dataclass(frozen=True)
class Findings:
    """A whole comparison."""

    suite: str
    steps: int  # environment steps of every method, everything included
    seeds: tuple[int, ...]
    partitions: tuple[Partition, ...]  # one per seed
    rows: tuple[Row, ...]
    served: Method
    best_single: Method | None  # that sees no more than the served policies do; None if none was compared
    gain: Interval | None  # of the served groups over it, in interquartile mean

    def row(self, method: Method) -> Row:
        """A method's row."""
        return next(row for row in self.rows if row.method == method)


def find(runs: tuple[Run, ...]) -> Findings:
    """Gather what the runs' evaluations say.

    Raises:
        RunError: a result is missing or damaged.
    """
    first = runs[0]
    measured = {
        method: [load_record(MethodScores, run.path(f"evaluation/{method}.npz")) for run in runs]
        for method in (*(m for m in first.methods if m != first.served), first.served)
    }
    scores = {method: np.array([each.scores for each in found]) for method, found in measured.items()}
    best = _best_single(first, scores)
    return Findings(
        suite=first.suite.name,
        steps=first.steps,
        seeds=tuple(run.config.seed for run in runs),
        partitions=tuple(load_record(Partition, run.path("partition.npz")) for run in runs),
        rows=tuple(
            _row(method, found, scores[best] if best and method != best else None) for method, found in measured.items()
        ),
        served=first.served,
        best_single=best,
        gain=estimate(gain, scores[first.served], scores[best]) if best else None,
    )


def _best_single(run: Run, scores: dict[Method, np.ndarray]) -> Method | None:
    told = is_conditioned(run.served)
    singles = [method for method in scores if is_single(method) and (told or not is_conditioned(method))]
    # Where the middle half is perfect, the rest decides.
    level = {method: (float(interquartile_mean(scores[method])), float(mean(scores[method]))) for method in singles}
    return max(singles, key=level.__getitem__, default=None)


def _row(method: Method, found: list[MethodScores], base: np.ndarray | None) -> Row:
    scores, successes = (np.array([getattr(each, name) for each in found]) for name in ("scores", "successes"))
    return Row(
        method,
        scores,
        estimate(interquartile_mean, scores),
        None if np.isnan(successes).any() else estimate(mean, successes),
        None if base is None else estimate(improvement, scores, base),
        int(np.median([each.parameters for each in found])),
    )


def sentence(findings: Findings) -> str:
    """Does grouping pay on this suite, by how much, and how sure is that?"""
    if findings.best_single is None or findings.gain is None:
        return "This comparison cannot say whether grouping pays: it has no single policy that sees as much."
    served, single = findings.row(findings.served), findings.row(findings.best_single)
    found, beats = findings.gain, served.beats
    enough = len(findings.seeds) >= MIN_SEEDS
    lead = judge(found.low, found.high) if enough else f"Fewer than {MIN_SEEDS} seeds cannot say whether grouping pays"
    more = "" if beats is None else f"; on an objective the groups win with probability {_text(beats)}"
    return (
        f"{lead}: at {short_number(findings.steps)} environment steps each and {len(findings.seeds)} seeds, "
        f"{label(served.method, findings.served)} score {decimal(served.score.value)} and the best "
        f"single policy ({label(single.method, findings.served)}) {decimal(single.score.value)}, a difference of "
        f"{signed(found.value)} (95% interval {signed(found.low)} to {signed(found.high)}){more}."
        f"{_undivided(findings)}"
    )


def _undivided(findings: Findings) -> str:
    """A reader must know if what is called groups was one policy."""
    alone = sum(partition.k == 1 for partition in findings.partitions)
    return f" In {alone} of {len(findings.seeds)} seeds all objectives formed one group." if alone else ""


def table(findings: Findings) -> str:
    """The groups of every seed, a row per method as a Markdown table, and the sentence."""
    success = any(row.success for row in findings.rows)
    lines = [
        f"{findings.suite}: {findings.steps:,} environment steps for every method, {len(findings.seeds)} seeds",
        *(f"seed {seed}: {groups}" for seed, groups in zip(findings.seeds, findings.partitions, strict=True)),
        "",
        f"| method | score (IQM) |{' success |' if success else ''} beats the best single policy | parameters |",
        f"|---|---|{'---|' if success else ''}---|---|",
    ]
    for row in findings.rows:
        cells = [label(row.method, findings.served), _text(row.score), *([_text(row.success)] if success else [])]
        lines.append(f"| {' | '.join([*cells, _text(row.beats), short_number(row.parameters)])} |")
    return "\n".join([*lines, "", NOTE, sentence(findings)])


def _text(found: Interval | None) -> str:
    return f"{decimal(found.value)} ({decimal(found.low)} to {decimal(found.high)})" if found else "-"


def figures_json(findings: Findings) -> str:
    """The figures as a flat JSON object: `score_METHOD`, `score_METHOD_interval`, `scores_METHOD` and so on."""
    plain: dict[str, Any] = {
        "suite": findings.suite,
        "steps": findings.steps,
        "seeds": list(findings.seeds),
        "k": [partition.k for partition in findings.partitions],
        "best_single": findings.best_single,
    }
    named: list[tuple[str, Interval | None]] = [("gain", findings.gain)]
    for row in findings.rows:
        parts = (("score", row.score), ("success", row.success), ("beats", row.beats))
        named += [(f"{name}_{row.method}", found) for name, found in parts]
    for name, found in named:
        if found is not None:
            plain |= {name: found.value, f"{name}_interval": [found.low, found.high]}
    plain |= {f"parameters_{row.method}": row.parameters for row in findings.rows}
    plain |= {f"scores_{row.method}": row.scores.round(4).tolist() for row in findings.rows}  # [seed][objective]
    return json.dumps(plain, indent=2) + "\n"
