"""Whoever runs out of memory, one line says what to lower; other errors pass as they are."""

from __future__ import annotations

import pytest
import torch

from pgx_core.errors import RunError
from pgx_core.memory import out_of_memory


def torch_on_the_cpu():
    torch.empty(2**60, dtype=torch.uint8)


def warp():
    raise RuntimeError("Failed to allocate 1048576 bytes on device 'cuda:0'")


def a_gpu():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


def python():
    raise MemoryError


@pytest.mark.parametrize("allocate", [torch_on_the_cpu, warp, a_gpu, python])
def test_one_line_says_what_to_lower(allocate):
    line = pytest.raises(RunError, match=r"^stage 'meta': .* ran out of it; lower --training\.worlds$")
    with line, out_of_memory("stage 'meta'", "--training.worlds"):
        allocate()


def test_other_errors_pass_as_they_are():
    with pytest.raises(RuntimeError, match="size of tensor"), out_of_memory("work", "nothing"):
        torch.zeros(2) + torch.zeros(3)
