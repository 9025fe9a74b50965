"""How methods, groups and large numbers look: the same words and colours on every picture and page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pgx_core.report.data import MethodScores


@dataclass(frozen=True)
class Look:
    """One method's words, colour and marker."""

    label: str
    colour: str
    marker: str  # a second sign beside the colour, for those who cannot tell two colours apart


# Okabe and Ito (2008) and two of Paul Tol's, safe for the common kinds of colour blindness; groups are blue.
METHOD_LOOKS = {
    "joint": Look("one policy", "#999999", "o"),
    "joint_id": Look("one policy + objective id", "#333333", "s"),
    "joint_wide_id": Look("one wide policy + objective id", "#999933", "h"),
    "groups": Look("groups", "#56B4E9", "^"),
    "groups_id": Look("groups + objective id", "#0072B2", "D"),
    "random": Look("random groups", "#E69F00", "v"),
    "random_id": Look("random groups + objective id", "#D55E00", ">"),
    "cosine": Look("cosine groups", "#CC79A7", "P"),
    "cosine_id": Look("cosine groups + objective id", "#882255", "p"),
    "specialists": Look("specialists", "#009E73", "X"),
    "soft_modules": Look("soft modules + objective id", "#332288", "d"),
    "paco": Look("PaCo + objective id", "#117733", "<"),
}

# Paul Tol's "light" scheme: dark text is readable on every one of them.
GROUP_COLOURS = ("#77AADD", "#EE8866", "#EEDD88", "#FFAABB", "#44BB99", "#BBCC33", "#99DDFF", "#DDDDDD", "#AAAA00")


def look(method: str) -> Look:
    """The look of a method; one that is not in `METHOD_LOOKS` keeps its own name, in brown."""
    return METHOD_LOOKS.get(method, Look(method, "#8C5A2B", "*"))


def label(method: str, served: str) -> str:
    """The words for a method; that whose policies are exported is marked."""
    return look(method).label + (" (served)" if method == served else "")


def method_labels(methods: Sequence[MethodScores], served: str) -> tuple[str, ...]:
    """The methods' labels, numbered where one method occurs more than once (draws of random groups)."""
    total, seen, labels = Counter(m.method for m in methods), Counter[str](), []
    for method in methods:
        seen[method.method] += 1
        number = f" {seen[method.method]}" if total[method.method] > 1 else ""
        labels.append(label(method.method, served) + number)
    return tuple(labels)


def group_colour(group: int) -> str:
    """The fill colour of a group, by its index in the partition."""
    return GROUP_COLOURS[group % len(GROUP_COLOURS)]


def decimal(value: float, digits: int = 2, sign: str = "") -> str:
    """A number with fixed digits, never "-0.00"; `sign` "+" writes the sign of a positive one too."""
    return f"{round(float(value), digits) + 0.0:{sign}.{digits}f}"


def signed(value: float) -> str:
    """A difference in three digits, with its sign."""
    return decimal(value, 3, "+").replace("-", "\N{MINUS SIGN}")


def error_text(error: float) -> str:
    """A standard error as "±0.03", with a third digit where two would show zero; empty where it was not measured."""
    if not math.isfinite(error):
        return ""
    return f"±{error:.2f}" if error >= 0.01 or error == 0 else f"±{error:.3f}"


def short_number(value: float | int) -> str:
    """A count in three digits or fewer: 812, 9.9k, 1.2M, 500M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
