"""Why these groups, as Markdown for the model card: the verdict, the affinity, and every method's scores."""

from __future__ import annotations

from collections.abc import Iterable

from pgx_core.report.data import ReportData
from pgx_core.report.labels import method_labels, short_number
from pgx_core.report.page import mean_row, score_row
from pgx_core.report.verdict import verdict

AFFINITY_PICTURE = "affinity.png"


def evidence(data: ReportData) -> str:
    """The verdict, the heat map `AFFINITY_PICTURE` and the table of all methods, objective by objective."""
    if not data.methods:
        return ""
    rows = [
        *((name, *(cell.score for cell in score_row(data, index))) for index, name in enumerate(data.names)),
        ("**mean**", *(cell.score for cell in mean_row(data))),
        ("policies", *(str(method.policies) for method in data.methods)),
        ("parameters", *(short_number(method.parameters) for method in data.methods)),
    ]
    heads = ("objective", *method_labels(data.methods, data.served))
    return f"""\
{verdict(data)}

![How much objectives help each other]({AFFINITY_PICTURE})

Scores of the training evaluation, seed {data.seed}, after {short_number(data.methods[0].steps)} environment steps each.

{_table((heads, ("---",) * len(heads), *rows))}"""


def _table(lines: Iterable[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
