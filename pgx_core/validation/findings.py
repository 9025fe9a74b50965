"""Everything a validation found, and the flat figures it comes down to."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np

from pgx_core.types import SubsetScores, load_record
from pgx_core.validation.agreement import Correlations, Groups, spearman_by_size
from pgx_core.validation.costs import Costs
from pgx_core.validation.hessian import Sharpness
from pgx_core.validation.sensitivity import Sensitivity
from pgx_core.validation.taylor import TaylorErrors
from pgx_core.validation.validation import Validation


@dataclass(frozen=True)
class Findings:
    """The results of every stage, as they lie in the folder."""

    taylor: TaylorErrors
    gram: SubsetScores
    projection: SubsetScores
    real: SubsetScores
    correlations: Correlations
    correlations_projection: Correlations
    groups: Groups
    costs: Costs
    sensitivity: Sensitivity
    sharpness: Sharpness  # of the served groups in order, then of one policy if the run trained one


def load_findings(validation: Validation) -> Findings:
    """Read them.

    Raises:
        RunError: one is missing or damaged.
    """
    return Findings(
        taylor=load_record(TaylorErrors, validation.path("taylor.npz")),
        gram=load_record(SubsetScores, validation.path("gram.npz")),
        projection=load_record(SubsetScores, validation.path("projection.npz")),
        real=load_record(SubsetScores, validation.path("real.npz")),
        correlations=load_record(Correlations, validation.path("correlations.npz")),
        correlations_projection=load_record(Correlations, validation.path("correlations_projection.npz")),
        groups=load_record(Groups, validation.path("groups.npz")),
        costs=load_record(Costs, validation.path("costs.npz")),
        sensitivity=load_record(Sensitivity, validation.path("sensitivity.npz")),
        sharpness=load_record(Sharpness, validation.path("sharpness.npz")),
    )


def figures(findings: Findings) -> dict[str, float]:
    """The flat figures; NaN where one does not apply. Means over objectives, groups or adapted directions."""
    groups, costs, taylor, sharpness = findings.groups, findings.costs, findings.taylor, findings.sharpness
    joint = sharpness.policies[-1].startswith("joint")
    served = slice(0, -1 if joint else None)
    at = {length: taylor.adapted_errors.mean(0)[i] for i, length in enumerate(taylor.lengths)}
    residual = taylor.adapted_residuals.mean(0)[list(taylor.lengths).index(0.01)]
    return {
        "nmi": groups.nmi,
        "nmi_projection": groups.nmi_projection,
        "ari": groups.ari,
        "ari_projection": groups.ari_projection,
        "regret": groups.regret,
        "spearman": _mean(findings.correlations.spearman),
        "spearman_projection": _mean(findings.correlations_projection.spearman),
        "spearman_by_size": spearman_by_size(findings.real.values, findings.real.subsets),
        "pearson": _mean(findings.correlations.pearson),
        "taylor_error_01pct": float(at[0.001]),
        "taylor_error_05pct": float(at[0.005]),
        "taylor_error_1pct": float(at[0.01]),
        "taylor_residual_1pct": float(residual),
        "flops_ratio": costs.flops_ratio,
        "wall_ratio": costs.wall_ratio,
        "steps_ratio": costs.steps_ratio,
        "hessian_trace_groups": _mean(sharpness.traces[served]),
        "hessian_trace_joint": float(sharpness.traces[-1]) if joint else math.nan,
        "generalisation_groups": _mean(sharpness.measures[served]),
        "generalisation_joint": float(sharpness.measures[-1]) if joint else math.nan,
        "k": groups.k,
        "k_real": groups.real_k,
        "objectives": len(groups.names),
        "subsets": len(findings.real.subsets),
    }


def figures_json(findings: Findings) -> str:
    """The flat figures as a JSON object; null where one does not apply."""
    plain = {name: value if math.isfinite(value) else None for name, value in figures(findings).items()}
    return json.dumps(plain, indent=2) + "\n"


def table(findings: Findings) -> str:
    """The outcome in a few lines."""
    groups, found, costs, c = findings.groups, figures(findings), findings.costs, findings.correlations
    width = max(map(len, groups.names))
    each = zip(groups.names, c.spearman, c.spearman_low, c.spearman_high, c.pearson, strict=True)
    return "\n".join(
        [
            f"groups, estimated  {_named(groups, groups.gram)}",
            f"groups, real       {_named(groups, groups.real)}",
            f"agreement          NMI {_text(groups.nmi)} (projection {_text(groups.nmi_projection)}), adjusted Rand "
            f"{_text(groups.ari)}, at k = {groups.k}; real training by itself chooses k = {groups.real_k}",
            f"regret             {_text(groups.regret)} (0: the best grouping into k by real training, 1: like random)",
            f"scores             Spearman {_text(found['spearman'])} (projection "
            f"{_text(found['spearman_projection'])}; by the subsets' sizes alone {_text(found['spearman_by_size'])}), "
            f"Pearson {_text(found['pearson'])}, means over objectives:",
            *(
                f"  {name:<{width}}  Spearman {_text(rho)} ({_text(low)} to {_text(high)})  Pearson {_text(r)}"
                for name, rho, low, high, r in each
            ),
            f"Taylor error       {found['taylor_error_1pct']:.2%} of |log pi| at 1% of the parameters' length, "
            f"{found['taylor_residual_1pct']:.1%} of the log-ratio",
            f"cost               real over estimated: {costs.flops_ratio:.1f} in operations, "
            f"{_text(costs.wall_ratio)} in seconds, {costs.steps_ratio:.1f} in environment steps; meta-training, "
            "needed by both, left out",
            f"Hessian trace      groups {_text(found['hessian_trace_groups'])}, one policy "
            f"{_text(found['hessian_trace_joint'])}",
        ]
    )


def _named(groups: Groups, labels: np.ndarray) -> str:
    return " | ".join(
        " ".join(name for name, label in zip(groups.names, labels, strict=True) if label == group)
        for group in range(int(labels.max()) + 1)
    )


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def _text(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "-"
