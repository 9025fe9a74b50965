"""One progress bar for a whole stage, however many trainings it holds."""

from __future__ import annotations

import sys
from types import TracebackType

from tqdm import tqdm

SECONDS_ON_SCREEN = 0.1  # least time between two updates
SECONDS_IN_LOG = 60.0  # the same where every update stays: in a file or a pipe


class Progress:
    """Environment steps done of those of the stage, and the time left. Use it in a `with` statement.

    Args:
        title: name of the stage.
        steps: environment steps of all its trainings.
        quiet: show nothing.
    """

    shown = True  # in this process; a worker's bars would run over those of the others

    def __init__(self, title: str, steps: int, quiet: bool = False) -> None:
        interval = SECONDS_ON_SCREEN if sys.stderr.isatty() else SECONDS_IN_LOG
        self._bar = tqdm(
            total=steps,
            desc=title,
            unit="step",
            unit_scale=True,
            mininterval=interval,
            maxinterval=max(10.0, interval),
            **({"disable": True} if quiet or not self.shown else {}),  # else TQDM_DISABLE decides
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()

    def skip(self, steps: int) -> None:
        """Count steps that an earlier process did: they are done, but say nothing about the speed."""
        if self._bar.disable:  # such a bar, by TQDM_DISABLE=1, lacks what is set below
            return
        self._bar.initial += steps
        self._bar.n += steps
        self._bar.last_print_n += steps

    def reach(self, steps: int) -> None:
        """Count what other processes have done so far, in all."""
        self._bar.update(max(0, steps - self._bar.n))

    def advance(self, steps: int, note: str) -> None:
        """Count steps done now; `note` stands at the end of the bar."""
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(steps)
