"""What the hardware would allow: measured peaks, and the bytes and operations that the work counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from pgx_core.simulation.engine import Engine


@dataclass(frozen=True)
class Peaks:
    """What this device reaches on the two simplest tasks."""

    flops: float  # per second, in a large product of matrices as the learner's are: float32
    bytes: float  # per second, read and written, in a large copy


@dataclass(frozen=True)
class Demand:
    """What some work asks of a device."""

    flops: float  # of products of matrices; the rest is small beside them
    bytes: float  # each operation's inputs and outputs, as if none stayed in a cache or was fused with the next

    def seconds(self, peaks: Peaks) -> float:
        """The least it could take: the roofline."""
        return max(self.flops / peaks.flops, self.bytes / peaks.bytes)


def measure_peaks(device: torch.device) -> Peaks:
    """Measured, since data sheets promise what no program sees."""
    side, length = (8192, 2**28) if device.type == "cuda" else (512, 2**22)
    matrix, source = torch.randn(side, side, device=device), torch.randn(length, device=device)
    target = torch.empty_like(source)
    flops = 2 * side**3 * per_second(lambda: matrix @ matrix, device, 0.5)
    return Peaks(flops, 2 * 4 * length * per_second(lambda: target.copy_(source), device, 0.5))


def per_second(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Calls per second, over at least so long, after one that warms up. Each is waited for."""
    work()
    wait(device)
    calls, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds or not calls:
        work()
        wait(device)
        calls += 1
    return calls / spent


def wait(device: torch.device) -> None:
    """Until all queued work is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Traffic(TorchDispatchMode):
    """Adds up the bytes of every operation's inputs and outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do it, and count it unless it only looks at a tensor in another way."""
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return result


def count(work: Callable[[], object]) -> Demand:
    """What torch is asked for by some work, physics excluded."""
    with FlopCounterMode(display=False) as flops, Traffic() as traffic:
        work()
    return Demand(float(flops.get_total_flops()), float(traffic.bytes))


def physics_demand(engine: Engine) -> Demand:
    """One physics step of Warp's worlds: each array of their state passes once, or more. No operations counted."""
    import warp

    data = engine._data  # type: ignore[attr-defined]
    parts = (data, data.contact, data.efc)
    arrays = [value for part in parts for value in vars(part).values() if isinstance(value, warp.array)]
    return Demand(0.0, float(sum(array.capacity for array in arrays)))


def busy_seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long the GPU's kernels run for some work, graphs included; NaN on a CPU."""
    if device.type != "cuda":
        return float("nan")
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        work()
        wait(device)
    kernels = [event for event in profile.events() or () if event.device_type == torch.autograd.DeviceType.CUDA]
    return 1e-6 * sum(event.time_range.elapsed_us() for event in kernels)
