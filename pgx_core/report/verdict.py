"""What a run says about grouping, in plain words that claim no more than the numbers do."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pgx_core.report.data import MethodScores, ReportData
from pgx_core.report.labels import decimal, label, short_number, signed

Z95 = 1.96  # half-width of a 95% interval in standard errors
STILL_RISING = 0.1  # by more in the last third of a training, and it was cut short; the falling rate alone gives less
FAIR_STEPS = 0.02  # step counts that differ by less than this share are called equal


@dataclass(frozen=True)
class Estimate:
    """A mean over the objectives and its standard error over evaluation episodes (not over training seeds)."""

    mean: float
    error: float

    @property
    def low(self) -> float:
        """Lower end of the 95% interval."""
        return self.mean - Z95 * self.error

    @property
    def high(self) -> float:
        """Upper end of the 95% interval."""
        return self.mean + Z95 * self.error

    @property
    def known(self) -> bool:
        """Whether every score and error behind it was measured."""
        return math.isfinite(self.mean) and math.isfinite(self.error)


def mean_score(method: MethodScores) -> Estimate:
    """The mean score over the objectives."""
    return Estimate(float(np.mean(method.scores)), _error_of_mean(method.errors))


def gain(method: MethodScores, base: MethodScores) -> Estimate:
    """How much `method` scores above `base`: the mean of the differences, objective by objective."""
    difference = float(np.mean(method.scores - base.scores))
    return Estimate(difference, _error_of_mean(np.hypot(method.errors, base.errors)))


def verdict(data: ReportData) -> str:
    """Whether grouping pays in this run, by how much, and how sure that is: one to three plain sentences."""
    if data.partition.k == 1:
        return _one_group(data)
    methods = {m.method: m for m in data.methods}
    served, blind = (
        (methods[a], methods[b]) if a in methods and b in methods else None
        for a, b in (("groups_id", "joint_id"), ("groups", "joint"))
    )
    if served is None and blind is None:
        return "This run cannot say whether grouping pays: it has no scores of both the groups and one policy."
    if served is None or blind is None:
        pair, suffix = (served, " with the objective id") if served else (blind, " without the objective id")
        assert pair is not None
        return " ".join([_main_sentence(data, *pair, suffix), *_what_remains(*pair)])
    sentences = [_main_sentence(data, *served, " with the objective id"), _blind_sentence(*blind)]
    return " ".join([*sentences, *_what_remains(*served)])


def caveats(data: ReportData) -> tuple[str, ...]:
    """What a reader must know before trusting the page."""
    notes = [
        f"One training seed ({data.seed}): every interval covers evaluation episodes only, and another seed can "
        "reverse a small difference.",
        "Everything was measured in simulation. Nothing here is certified for use on a real robot.",
    ]
    return (
        *notes,
        *divergences(data),
        *_unfinished(data),
        *_partition_caveats(data),
        *_taylor_caveats(data),
        *_fairness_caveats(data),
    )


def divergences(data: ReportData) -> list[str]:
    """A sentence for every training whose physics broke now and then."""
    return [
        f"In the training of {label(curve.method, data.served)} the physics broke {curve.diverged} times, and the "
        "world was put back: look at the robot's model, or give it a shorter timestep."
        for curve in data.curves
        if curve.diverged
    ]


def _error_of_mean(errors: np.ndarray) -> float:
    """Standard error of a mean of independent values with these standard errors."""
    return float(np.sqrt(np.square(errors).sum()) / len(errors))


def _interval(estimate: Estimate) -> str:
    return f"{signed(estimate.low)} to {signed(estimate.high)}"


def _equal_steps(a: MethodScores, b: MethodScores) -> bool:
    return abs(a.steps - b.steps) <= FAIR_STEPS * max(a.steps, b.steps)


def _one_group(data: ReportData) -> str:
    lead = (
        f"One policy serves all {len(data.names)} objectives: no grouping stood out from the noise of this run, or "
        "one group was asked for."
    )
    methods = {m.method: mean_score(m) for m in data.methods}
    served, afresh = methods.get(data.served), methods.get(_single(data))
    if served is None or not served.known:
        return lead
    compared = (
        "" if afresh is None or not afresh.known else f"; one trained afresh with all steps {decimal(afresh.mean)}"
    )
    return (
        f"{lead} It scores {decimal(served.mean)} on average (95% interval {decimal(served.low)} to "
        f"{decimal(served.high)}, over evaluation episodes of one training seed, so not over seeds){compared}."
    )


def _single(data: ReportData) -> str:
    """The one policy that sees as much as the served ones."""
    return "joint_id" if data.served.endswith("_id") else "joint"


def _main_sentence(data: ReportData, groups: MethodScores, joint: MethodScores, suffix: str) -> str:
    found = gain(groups, joint)
    if not found.known:
        return f"This run cannot say whether grouping pays: scores or errors of the policies{suffix} are missing."
    if _equal_steps(groups, joint):
        lead, budget = judge(found.low, found.high), f"at {short_number(joint.steps)} environment steps each"
    else:
        lead = "This run cannot say whether grouping pays"
        budget = f"at unequal steps ({short_number(groups.steps)} against {short_number(joint.steps)})"
    ours, theirs = (decimal(mean_score(method).mean) for method in (groups, joint))
    return (
        f"{lead}: {budget}, {data.partition.k} groups{suffix} score {ours} on average and one "
        f"policy{suffix} {theirs}, a difference of {signed(found.mean)} (95% interval "
        f"{_interval(found)}, over evaluation episodes of one training seed, so not over seeds)."
    )


def judge(low: float, high: float) -> str:
    """What a 95% interval of the gain by grouping allows to say."""
    if low > 0:
        return "Grouping pays here"
    if high < 0:
        return "Grouping costs score here"
    return "Grouping does not show a gain here"


def _blind_sentence(groups: MethodScores, joint: MethodScores) -> str:
    found = gain(groups, joint)
    if not found.known:
        return "Without the objective id, scores or errors are missing."
    fair = "" if _equal_steps(groups, joint) else " at unequal steps"
    doubt = ", which includes zero" if found.low <= 0 <= found.high else ""
    return (
        f"Without the objective id, the difference of groups to one policy is {signed(found.mean)}{fair} "
        f"({_interval(found)}{doubt})."
    )


def _what_remains(groups: MethodScores, joint: MethodScores) -> list[str]:
    """What grouping still offers where it shows no gain in score."""
    found = gain(groups, joint)
    if not found.known or found.low > 0:
        return []
    per_policy = groups.parameters / groups.policies
    if per_policy < 0.9 * joint.parameters:
        tick = f"a tick costs {short_number(per_policy)} parameters instead of {short_number(joint.parameters)}, and"
    else:
        tick = "a tick costs no less, but"
    return [f"What remains is practical: {tick} one group can be added, retrained and certified on its own."]


def _unfinished(data: ReportData) -> list[str]:
    """Whether the served policies were still learning when their steps ran out."""
    notes = []
    for curve in data.curves:
        share = curve.steps / curve.steps[-1] if len(curve.steps) else np.zeros(0)
        before, end = (curve.scores[(share > low) & (share <= low + 0.1)] for low in (0.6, 0.9))
        if curve.method in (data.served, _single(data)) and len(before) and len(end):
            rise = float(end.mean() - before.mean())
            if rise > STILL_RISING:
                notes.append(
                    f"The score of {label(curve.method, data.served)} still rose by {decimal(rise)} in the last third "
                    f"of its training: with more --steps it will be better, and the comparison may be another."
                )
    return notes


def _partition_caveats(data: ReportData) -> list[str]:
    notes = []
    unknown = int(np.isnan(data.affinity.matrix[np.triu_indices(len(data.names), 1)]).sum())
    if unknown:
        pairs = "1 pair" if unknown == 1 else f"{unknown} pairs"
        notes.append(f"{pairs} of objectives never met in a sampled subset: the affinity there is unknown.")
    if math.isfinite(data.partition.stability):
        notes.append(
            f"The groups agree with those of bootstrap replicates at an adjusted Rand index of "
            f"{data.partition.stability:.2f} (1 is always the same, 0 is chance)."
        )
    return notes


def _taylor_caveats(data: ReportData) -> list[str]:
    """How far the formula behind the affinities is off where it was used."""
    if not np.isfinite(data.step_residuals).any():
        return []
    length, error = np.median(data.step_lengths), np.nanmedian(data.step_residuals)
    return [
        f"The groups rest on a first-order formula. At its steps of {length:.1%} of the parameters' length it misses "
        f"the log-ratio by {error:.0%} (median over the subsets)."
    ]


def _fairness_caveats(data: ReportData) -> list[str]:
    methods = {m.method: m for m in data.methods}
    notes = []
    steps = [m.steps for m in data.methods]
    if steps and min(steps) < (1 - FAIR_STEPS) * max(steps):
        notes.append(
            f"The methods did not spend equal steps ({short_number(min(steps))} to {short_number(max(steps))}): see "
            "the table."
        )
    if len({m.parameters for m in data.methods}) > 1:
        notes.append("The methods differ in parameters (see the table): part of a difference can be size alone.")
    for ours, random, suffix in (("groups_id", "random_id", "with"), ("groups", "random", "without")):
        draws = [gain(methods[ours], m) for m in data.methods if m.method == random and ours in methods]
        if any(draw.known and draw.low <= 0 for draw in draws):
            notes.append(
                f"Random groups are not clearly worse than these groups {suffix} the objective id: the choice of "
                "groups may not matter there."
            )
    return notes
