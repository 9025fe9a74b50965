"""Evaluate an objective's terms. They are the user's own code: each fault names objective and term, in one line."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pgx_core.errors import SuiteError
from pgx_core.objectives.objective import Condition, Objective, Term
from pgx_core.objectives.state import State


@dataclass(frozen=True)
class Outcome:
    """What one control step was worth, for the B worlds of one objective."""

    rewards: Float[Tensor, "B"]
    scores: Float[Tensor, "B"]
    terminated: Bool[Tensor, "B"]


def evaluate_terms(objective: Objective, state: State) -> Outcome:
    """Reward, score and termination of each world.

    Raises:
        SuiteError: a term fails, or returns something other than one value per world.
    """
    # A term that serves twice, say as reward and as score, is computed once.
    values = {term: _call(objective, term, state) for term in _terms(objective)}
    rewards = torch.zeros_like(state.time)
    for reward in objective.rewards:
        rewards += reward.weight * values[reward.term]
    scores = values[objective.score_term].to(rewards)
    over = _call(objective, objective.terminate, state) if objective.terminate else torch.zeros_like(state.time)
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
                f"objective '{objective.name}': term '{_name(term)}' returned {came}; expected a finite number, "
                "at best bounded by 1"
            )


def _terms(objective: Objective) -> tuple[Term, ...]:
    """Its reward and score terms, each once."""
    return tuple(dict.fromkeys((*(reward.term for reward in objective.rewards), objective.score_term)))


def _call(objective: Objective, term: Term | Condition, state: State) -> Tensor:
    where = f"objective '{objective.name}': term '{_name(term)}'"
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


def _name(term: Term | Condition) -> str:
    plain = getattr(term, "func", term)  # of a functools.partial
    return getattr(plain, "__name__", repr(plain))
