"""Faults of worlds on a GPU: noted there while they run, and looked at once per rollout."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pgx_core.errors import RunError
from pgx_core.simulation.engine import Engine, LimitedEngine
from pgx_core.simulation.step import NAN_ACTIONS

Seen = tuple[Tensor, ...]  # everything that the terms were evaluated on


class DeferredCheck:
    """Reading a flag would make the host wait for all queued work, so `step` raises it and `check` reads it."""

    def __init__(self, device: torch.device) -> None:
        self._nan_action = torch.zeros((), dtype=torch.bool, device=device)
        self._bad_term = torch.zeros((), dtype=torch.bool, device=device)
        self._seen: Seen = ()

    def actions(self, actions: Float[Tensor, "W actions"]) -> None:
        """Note whether one is NaN."""
        self._nan_action = self._nan_action | torch.isnan(actions).any()

    def terms(self, bad: Bool[Tensor, ""], seen: Seen) -> None:
        """Note whether a term was not finite, and keep what it saw at the first such step, to name it later."""
        if self._seen:
            first = bad & ~self._bad_term
            seen = tuple(torch.where(first, new, kept) for new, kept in zip(seen, self._seen, strict=True))
        self._seen = seen
        self._bad_term = self._bad_term | bad

    def check(self, engine: Engine, name_term: Callable[[Seen], None]) -> None:
        """Look at the flags, and lower them. It waits for the device once.

        Args:
            engine: asked whether its memory ran out, if it has such a limit.
            name_term: raises the error of a bad term, given what it saw.

        Raises:
            RunError: an action was NaN, or the engine's memory ran out.
            SuiteError: a term was not finite.
        """
        limited = engine if isinstance(engine, LimitedEngine) else None
        overflow = limited.overflow() if limited else torch.zeros_like(self._bad_term)
        nan_action, bad_term, overflowed = torch.stack([self._nan_action, self._bad_term, overflow]).tolist()
        self._nan_action.zero_()
        self._bad_term.zero_()
        if nan_action:
            raise RunError(NAN_ACTIONS)
        if bad_term:
            name_term(self._seen)
        if limited and overflowed:
            raise RunError(limited.advice)
