"""Which precision is used where. On the CPU all is float32; this is the one place that says what a GPU may do.

- Acting and learning: products of matrices may round their operands to TF32 (10 bits), which is several times faster.
  An action is then off by less than a hundredth of the least exploration noise (tests/gradients/test_precision.py).
- Features, parameter steps and residuals: full float32, torch's default, and moments summed in float64. The predicted
  margins are then off by 1e-7, with TF32 they would be by 4e-4 (the same test).
- The surrogate: float32 data and products, float64 steps, sums and scores.
No bfloat16: the networks are so small that products are no bottleneck.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def fast_products(device: torch.device) -> Iterator[None]:
    """Allow TF32 inside, on a GPU; on the CPU nothing changes."""
    before = torch.get_float32_matmul_precision()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
