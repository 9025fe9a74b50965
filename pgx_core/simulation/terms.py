"""Evaluate an objective's terms. They are the user's own code: each fault names objective and term, in one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pgx_core.errors import SuiteError
from pgx_core.objectives.objective import Condition, Objective, Term, term_name
from pgx_core.objectives.state import State


@dataclass(frozen=True)
class Outcome:
    """What one control step was worth, for the B worlds of one objective."""

    rewards: Float[Tensor, "B"]
    scores: Float[Tensor, "B"]
    terminated: Bool[Tensor, "B"]


class SharedTerms:
    """Terms that never look at the command: of several objectives that have one, its values are computed together.

    Which these are shows when they are called: the command they are given then only tells that it was looked at.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        users = Counter(term for objective in objectives for term in (*_terms(objective), objective.terminate))
        self._terms = [term for term, count in users.items() if term is not None and count > 1]

    def values(self, state: State) -> dict[Term | Condition, Tensor]:
        """One for each of these worlds, whatever their objectives. A term that fails is left to its objective."""
        values = {term: value for term in self._terms if (value := _blindly(term, state)) is not None}
        self._terms = list(values)
        return values


def _blindly(term: Term | Condition, state: State) -> Tensor | None:
    try:
        value = term(state, _Unseen())
    except (_Looked, Exception):
        return None
    return value if isinstance(value, Tensor) and value.shape == state.time.shape else None


class _Looked(BaseException):
    """Not an Exception, which a term might catch."""


class _Unseen(Mapping[str, float]):
    def __getitem__(self, name: str) -> float:
        raise _Looked

    def __iter__(self) -> Iterator[str]:
        raise _Looked

    def __len__(self) -> int:
        raise _Looked


def evaluate_terms(objective: Objective, state: State, known: Mapping[Term | Condition, Tensor]) -> Outcome:
    """Reward, score and termination of each world.

    Args:
        objective: whose terms.
        state: of its worlds.
        known: values in these worlds of terms that were evaluated already.

    Raises:
        SuiteError: a term fails, or returns something other than one value per world.
    """
    # A term that serves twice, say as reward and as score, is computed once.
    values = {term: known[term] if term in known else _call(objective, term, state) for term in _terms(objective)}
    rewards = torch.zeros_like(state.time)
    for reward in objective.rewards:
        rewards += reward.weight * values[reward.term]
    scores = values[objective.score_term].to(rewards)
    condition = objective.terminate
    if condition is None:
        over = torch.zeros_like(state.time)
    else:
        over = known[condition] if condition in known else _call(objective, condition, state)
    return Outcome(rewards, scores, over.bool())


def check_finite(objective: Objective, state: State, sound: Bool[Tensor, "B"]) -> None:
    """Find the term that returned NaN or infinity.

    Args:
        objective: whose terms.
        state: what they were evaluated on.
        sound: the worlds that count; a term may return anything where the physics broke.

    Raises:
        SuiteError: a term returned NaN or infinity in a sound world.
    """
    for term in _terms(objective):
        values = _call(objective, term, state)[sound]
        if not torch.isfinite(values).all():
            came = values[~torch.isfinite(values)][0].item()
            raise SuiteError(
                f"objective '{objective.name}': term '{term_name(term)}' returned {came}; expected a finite number, "
                "at best bounded by 1"
            )


def _terms(objective: Objective) -> tuple[Term, ...]:
    """Its reward and score terms, each once."""
    return tuple(dict.fromkeys((*(reward.term for reward in objective.rewards), objective.score_term)))


def _call(objective: Objective, term: Term | Condition, state: State) -> Tensor:
    where = f"objective '{objective.name}': term '{term_name(term)}'"
    try:
        value = term(state, objective.command)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise SuiteError(f"{where} failed: {type(error).__name__}: {reason}") from error
    if not isinstance(value, Tensor) or value.shape != state.time.shape:
        came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise SuiteError(
            f"{where} must return a tensor of shape ({len(state.time)},), one value per world, and returned {came}"
        )
    return value
