"""Faults of worlds on a GPU: noted there while they run, and looked at once per rollout."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
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

    def flags(self, engine: Engine) -> Int[Tensor, "3"]:
        """What was noted, still on the device: an action was NaN, a term not finite, memory ran out. Lowers the flags.

        Args:
            engine: asked whether its memory ran out, if it has such a limit.
        """
        overflow = engine.overflow() if isinstance(engine, LimitedEngine) else torch.zeros_like(self._bad_term)
        flags = torch.stack([self._nan_action, self._bad_term, overflow]).long()
        self._nan_action, self._bad_term = torch.zeros(2, dtype=torch.bool, device=flags.device)
        return flags

    def check(self, flags: list[int], engine: Engine, name_term: Callable[[Seen], None]) -> None:
        """Raise what the flags tell.

        Args:
            flags: as `flags` returned them, fetched.
            engine: the one that was asked.
            name_term: raises the error of a bad term, given what it saw.

        Raises:
            RunError: an action was NaN, or the engine's memory ran out.
            SuiteError: a term was not finite.
        """
        nan_action, bad_term, overflowed = flags
        if nan_action:
            raise RunError(NAN_ACTIONS)
        if bad_term:
            name_term(self._seen)
        if overflowed and isinstance(engine, LimitedEngine):
            raise RunError(engine.advice)
