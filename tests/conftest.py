"""One thread and fixed seeds for every test."""

import os

# Read when numpy and torch are first loaded. A second thread only waits at barriers here.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import contextlib
import functools
import signal
from pathlib import Path

import numpy as np
import pytest
import torch  # before the hooks below: what a hooked module imports is compiled once more, under another name
from beartype.claw import beartype_package
from hypothesis import settings
from jaxtyping import install_import_hook
from torch.onnx._internal.exporter._registration import ONNXRegistry

# torch builds its table of operators, a second's work, anew for each of the many networks that are exported here.
ONNXRegistry.from_torchlib = staticmethod(functools.cache(ONNXRegistry.from_torchlib))

# Types are checked at every call, and shapes too in the modules that annotate them. Not everywhere: the check of shapes
# costs ten times what the robot's small functions do.
ROOT = Path(__file__).parents[1]
ANNOTATED = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "pgx_core").rglob("*.py"))
    if "from jaxtyping import" in path.read_text()
]
beartype_package("pgx_core")
install_import_hook(ANNOTATED, "beartype.beartype")

# The background jobs of a shell ignore Ctrl-C, and so would every process that is started here.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Deadlines measure the machine's load, not the code; the same examples every time keep a red test red.
settings.register_profile("pgx", deadline=None, derandomize=True)
settings.load_profile("pgx")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """No worker is left alone with a long file at the end, and those that keep time do not come first.

    In a fresh environment the first two minutes go into compiling modules, beside the type checker.
    """
    folders = ("training", "contract", "simulation", "ros", "integration")
    order = {folder: place for place, folder in enumerate(folders)}
    tests = Path(__file__).parent
    items.sort(key=lambda item: order.get(item.path.relative_to(tests).parts[0], len(folders)))


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def unchecked():
    """A context for whole runs: shapes are not checked, as for users.

    The checks would take longer than the runs, and each function's are made where it is tested alone.
    """
    from jaxtyping import config

    @contextlib.contextmanager
    def context():
        config.update("jaxtyping_disable", True)
        try:
            yield
        finally:
            config.update("jaxtyping_disable", False)

    return context


# Operations whose result, or its size, the host must wait for.
WAITING = ("aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten.equal", "aten.is_nonzero")


@pytest.fixture(scope="session")
def no_waiting():
    """A context that refuses what would wait for a device, also where tensors happen to lie on the CPU."""
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    class NoReading(TorchFunctionMode):
        """Refuses the methods that are no operation where the tensor lies on the CPU already."""

        reading = (torch.Tensor.tolist, torch.Tensor.cpu, torch.Tensor.numpy)
        indexing = (torch.Tensor.__getitem__, torch.Tensor.__setitem__)

        def __init__(self, on_host):
            super().__init__()
            self.on_host = on_host

        def __torch_function__(self, func, types, args=(), kwargs=None):
            read = func in self.reading and not any(args[0] is tensor for tensor in self.on_host)
            assert not read, f"{func} waits for the device"
            # Python's numbers are copied to a device by waiting, and below this level nobody sees it.
            if getattr(func, "__name__", "") in ("tensor", "as_tensor", "new_tensor"):
                assert str((kwargs or {}).get("device")) == "cpu", f"{func.__name__} of numbers waits for the device"
            if func in self.indexing:
                parts = args[1] if isinstance(args[1], tuple) else (args[1],)
                numbers = any(isinstance(part, (list, np.ndarray)) for part in parts)
                assert not numbers, f"{func} with numbers of the host waits for the device"
            return func(*args, **(kwargs or {}))

    class NoWaiting(TorchDispatchMode):
        def __init__(self, on_host=()):
            super().__init__()
            self.on_host = list(on_host)  # tensors that stay there whatever the device
            self.no_reading = NoReading(self.on_host)

        def __enter__(self):
            self.no_reading.__enter__()
            return super().__enter__()

        def __exit__(self, *reason):
            super().__exit__(*reason)
            self.no_reading.__exit__(*reason)

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            read = str(func).startswith(WAITING) and not any(args[0] is tensor for tensor in self.on_host)
            assert not read, f"{func} waits for the device"
            if str(func).startswith(("aten.index.", "aten.index_put")):
                masks = [index for index in args[1] if index is not None and index.dtype == torch.bool]
                assert not masks, f"{func} with a mask waits for the device"
            if str(func).startswith("aten._to_copy") and not (kwargs or {}).get("non_blocking"):
                there = (kwargs or {}).get("device") or args[0].device
                assert there == args[0].device, f"{func} to another device waits for the device"
            return func(*args, **(kwargs or {}))

    return NoWaiting


@pytest.fixture(scope="session")
def pushers(tmp_path_factory):
    """A served bundle of two hand-made policies for the slider: one pushes right, one left. Not to be written to."""
    from pgx_core.contract import ObjectiveContract
    from pgx_core.export.bundle import BundleContents, GroupPolicy, write_bundle
    from pgx_core.learning.network import GaussianPolicy
    from pgx_core.objectives.suites import SLIDER
    from pgx_core.serving import load_bundle
    from pgx_core.simulation.robot_model import compile_robot, standalone_mjcf

    def pusher(action):
        policy = GaussianPolicy(2, 1, (4,))
        with torch.no_grad():
            for parameter in policy.parameters():
                parameter.zero_()
            policy.layers[-1].bias.fill_(action)
        return policy

    contents = BundleContents(
        name="pushers",
        contract=compile_robot(SLIDER).contract,
        objectives=(
            ObjectiveContract("right", {"velocity": 1.0}, "pushers", 1.0),
            ObjectiveContract("left", {"velocity": -1.0}, "pullers", 1.0),
            ObjectiveContract("away", {}, "pushers", 1.0),
        ),
        groups=tuple(
            GroupPolicy(name, pusher(action), np.zeros((4, 2), np.float32))
            for name, action in (("pushers", 0.5), ("pullers", -0.5))
        ),
        metrics={"steps": 0.0},
        config={},
        seed=0,
        rationale="By hand.",
        robot_xml=standalone_mjcf(SLIDER)[0],
    )
    return load_bundle(write_bundle(tmp_path_factory.mktemp("bundles") / "pushers", contents))
