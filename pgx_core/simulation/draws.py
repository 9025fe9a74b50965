"""Where the worlds' chance comes from: the host's stream, or the device's.

On the CPU, numpy draws only for the worlds that need it, as it always did: published results rest on that stream.
On a GPU the host does not know which worlds those are, and asking would stop the device's queue at every step.
So there every world draws, always, and the caller takes the rows it needs with `torch.where`.
Both answer with a row for every world; what stands in the rows outside the mask means nothing.
"""

from __future__ import annotations

import zlib
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@runtime_checkable
class Draws(Protocol):
    """A stream of random numbers."""

    dtype: torch.dtype  # of the real numbers

    def uniform(self, rows: Bool[Tensor, "R"], low: Tensor, high: Tensor) -> Float[Tensor, "R ..."]:
        """Uniform between `low` and `high`, both [R, ...]."""
        ...

    def normal(self, rows: Bool[Tensor, "R"], columns: int) -> Float[Tensor, "R columns"]:
        """Standard normal."""
        ...

    def integers(self, rows: Bool[Tensor, "R"], low: int, high: int) -> Int[Tensor, "R"]:
        """From low to high - 1."""
        ...

    def state(self) -> Any:
        """Where the stream stands."""
        ...

    def restore(self, state: Any) -> None:
        """Continue from there."""
        ...


class HostDraws:
    """numpy's stream, in double precision, for the rows in the mask alone."""

    dtype = torch.float64

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def uniform(self, rows: Bool[Tensor, "R"], low: Tensor, high: Tensor) -> Float[Tensor, "R ..."]:
        """See Draws."""
        where = rows.numpy()
        values = np.zeros(low.shape)
        values[where] = self._rng.uniform(low.numpy()[where], high.numpy()[where])
        return torch.from_numpy(values)

    def normal(self, rows: Bool[Tensor, "R"], columns: int) -> Float[Tensor, "R columns"]:
        """See Draws."""
        where = rows.numpy()
        values = np.zeros((len(where), columns))
        values[where] = self._rng.standard_normal((where.sum(), columns))
        return torch.from_numpy(values)

    def integers(self, rows: Bool[Tensor, "R"], low: int, high: int) -> Int[Tensor, "R"]:
        """See Draws."""
        where = rows.numpy()
        values = np.zeros(len(where), dtype=np.int64)
        values[where] = self._rng.integers(low, high, where.sum())
        return torch.from_numpy(values)

    def state(self) -> Any:
        """See Draws."""
        return self._rng.bit_generator.state

    def restore(self, state: Any) -> None:
        """See Draws."""
        self._rng.bit_generator.state = state


class DeviceDraws:
    """torch's stream on a device, in single precision, for every row."""

    dtype = torch.float32

    def __init__(self, seed: int, device: torch.device) -> None:
        self._device = device
        self._generator = torch.Generator(device).manual_seed(seed)

    def uniform(self, rows: Bool[Tensor, "R"], low: Tensor, high: Tensor) -> Float[Tensor, "R ..."]:
        """See Draws."""
        return low + (high - low) * torch.rand(low.shape, generator=self._generator, device=self._device)

    def normal(self, rows: Bool[Tensor, "R"], columns: int) -> Float[Tensor, "R columns"]:
        """See Draws."""
        return torch.randn(len(rows), columns, generator=self._generator, device=self._device)

    def integers(self, rows: Bool[Tensor, "R"], low: int, high: int) -> Int[Tensor, "R"]:
        """See Draws."""
        return torch.randint(low, high, (len(rows),), generator=self._generator, device=self._device)

    def state(self) -> Any:
        """See Draws."""
        return self._generator.get_state()

    def restore(self, state: Any) -> None:
        """See Draws. Streams of a CPU and of a GPU have nothing in common: then another begins."""
        if state.shape == self._generator.get_state().shape:
            self._generator.set_state(state)
        else:
            self._generator.manual_seed(zlib.crc32(state.numpy().tobytes()))  # not the first: its draws were used
