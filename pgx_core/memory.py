"""Running out of memory, on the host or a GPU, as one line that says what to lower."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pgx_core.errors import RunError

# How torch's allocator for the CPU and Warp's say it: they have no exception of their own.
COMPLAINTS = ("can't allocate memory", "Failed to allocate")


@contextmanager
def out_of_memory(what: str, bounds: str) -> Iterator[None]:
    """Around work whose size the user decides.

    Args:
        what: the work.
        bounds: the settings that bound its memory.

    Raises:
        RunError: it was too much.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        known = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not known and not any(complaint in str(error) for complaint in COMPLAINTS):
            raise
        raise RunError(f"{what}: expected to fit into memory, ran out of it; lower {bounds}") from error
