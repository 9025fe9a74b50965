"""Imports point only downwards: every module against the table of layers below.

The table is the architecture page in executable form. To add a folder, add its layer here, with the reason for
each import that is not obvious.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "pgx_core"


@dataclass(frozen=True)
class Layer:
    """What a folder or module may import, besides itself and the standard library.

    An entry allows everything below it: "types" the whole module, "types.Transitions" that one name.
    """

    ours: frozenset[str]  # inside pgx_core
    theirs: frozenset[str]  # third-party packages


def layer(ours: str = "", theirs: str = "") -> Layer:
    """A layer from space-separated names."""
    return Layer(frozenset(ours.split()), frozenset(theirs.split()))


# From the ground up: a layer may name only those above it in this listing, so there are no cycles.
LAYERS = {
    "__init__": layer(),
    # The ground: usable on a robot, hence the standard library and at most numpy.
    "errors": layer(),
    "records": layer("errors"),
    "files": layer("errors"),
    "processes": layer("errors"),
    "contract": layer("errors"),
    "faults": layer("contract"),
    "observation": layer("contract", "numpy"),
    "scene": layer("contract", "numpy"),
    # Not for the robot either: it knows how torch runs out.
    "memory": layer("errors", "torch"),
    # Values between stages. Not for the robot: the shape annotations need jaxtyping.
    "types": layer("errors files", "numpy jaxtyping"),
    # Environments that bring their own rewards, and the packages they come in.
    "environments": layer("errors", "numpy torch envpool gymnasium Box2D jaxtyping"),
    # What the robot should do. MuJoCo only to read the model a suite names.
    "objectives": layer("environments errors contract types", "numpy torch mujoco jaxtyping"),
    "simulation": layer(
        "objectives environments observation faults contract types errors",
        "numpy torch mujoco mujoco_warp warp isaacgym jaxtyping",
    ),
    # PPO over a population knows nothing of groups: of `types` it may see experience, never a Partition.
    "learning": layer("types.Transitions errors", "numpy torch jaxtyping"),
    # Rollouts arrive as arguments, so features need a network and nothing that acts or learns.
    "gradients": layer("learning.network types errors", "numpy scipy torch jaxtyping"),
    # Numerics on saved values: no network, no simulator, testable in milliseconds.
    "surrogate": layer("types errors", "numpy torch jaxtyping"),
    "affinity": layer("types errors", "numpy scipy sklearn jaxtyping"),
    "clustering": layer("types errors", "numpy scipy sklearn cvxpy jaxtyping"),
    # The method itself, for any trainer: a policy and its experience in, a partition out.
    "grouping": layer("gradients surrogate affinity clustering types errors", "numpy torch jaxtyping"),
    # Policies in simulation: the meta policy, the groups, and what they are compared with. It takes the free rival
    # groupings from clustering, and from gradients the order of the parameters that a step is written in.
    "training": layer(
        "learning simulation objectives environments clustering gradients.parameters types errors files",
        "numpy torch tqdm tensorboard jaxtyping",
    ),
    # The robot's half: what `pip install .[serve]` brings, and no more.
    "serving": layer("contract faults observation errors records files", "numpy onnxruntime"),
    # Writes what serving reads.
    "export": layer(
        "learning.network learning.distribution contract observation errors records files serving",
        "numpy torch onnx onnxscript onnxruntime jaxtyping",
    ),
    # Shows results and draws the robot; knows nothing of how either came about.
    "report": layer("types errors files", "numpy matplotlib jinja2 moocore PIL mujoco jaxtyping"),
    # A run folder: every stage's settings and where its results lie, but not their order.
    "run": layer(
        "grouping affinity.subsets training learning.network objectives errors records files types", "numpy torch"
    ),
    # Trainings side by side, on several machines too; Ray is imported where it is asked for.
    "scale": layer("run training processes errors", "ray"),
    # What a run hands out, gathered from its folder.
    "results": layer(
        "run training.methods simulation.robot_model learning.network objectives.environment_suite export report "
        "contract types records errors",
        "numpy",
    ),
    # Each stage reads and writes the run folder; the only file that knows them all.
    "stages": layer(
        "run scale results training grouping gradients surrogate affinity clustering learning "
        "objectives.environment_suite objectives.objective.term_name export report types",
        "numpy torch",
    ),
    # The only file that knows the order of the stages.
    "pipeline": layer("stages run scale.Workers training.methods.Method memory errors files"),
    # A finished run's estimate against real training: it repeats parts of the run, so it may see almost all of it.
    "validation": layer(
        "pipeline stages run scale training learning gradients surrogate affinity clustering report "
        "memory types errors files",
        "numpy torch scipy sklearn matplotlib jaxtyping",
    ),
    # A finished run's groups as those of MAML's starting points, on objectives that it never saw.
    "meta_rl": layer("pipeline stages run training objectives memory types errors", "numpy torch jaxtyping"),
    # Many runs of one suite, told apart by their seed: it trains them through the pipeline and reads their results.
    "comparison": layer(
        "pipeline run scale results training report types errors files",
        "numpy torch scipy matplotlib jaxtyping",
    ),
    # A bundle on its simulated robot, through what the real one has: hence neither torch nor our simulation.
    "play": layer("scene serving contract observation errors", "numpy mujoco jaxtyping"),
    # Switches of such a robot, tried by the thousand.
    "switching": layer("play serving contract processes errors records files", "numpy scipy mujoco tqdm jaxtyping"),
    # Its policies on the suite's worlds, in batches: rewards play no part, but ends of episodes do.
    "rehearsal": layer(
        "play switching.steady serving simulation objectives observation contract errors",
        "numpy torch mujoco jaxtyping",
    ),
    "commands.switch_matrix": layer("switching serving report.switches export.amend", "tyro"),
    "commands.play": layer("play serving report.render errors files", "numpy mujoco tyro"),
    # Tries what is installed, each in a process of its own: only those processes import any of it.
    "doctor": layer("simulation objectives errors", "numpy torch"),
    # One module per command. `verify` reaches serving directly, so that it runs on a robot.
    "commands": layer(
        "pipeline stages results run scale export.bundle serving objectives.loading validation comparison "
        "doctor meta_rl training.adaptation files simulation.engines.Backend errors",
        "torch tyro",
    ),
    # Thin. It loads the one command that is asked for.
    "cli": layer("commands errors", "tyro"),
}


def imported_names(source: str, module: str) -> Iterator[str]:
    """Every dotted name a module imports, wherever the statement stands, relative ones resolved.

    `from a import b` yields "a.b". `module` is the importing module's dotted name; a package ends in ".__init__".
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def violations(source: str, module: str) -> list[str]:
    """The rules a module of the package breaks, as messages; empty if none."""
    path = module.split(".")[1:]
    # A module may have a layer of its own, beside its folder's.
    own = next((key for key in (".".join(path[:2]), path[0]) if key in LAYERS), None)
    if own is None:
        return [f"{module}: '{path[0]}' is not in LAYERS of {Path(__file__).name}; add it and what it may import"]
    broken = []
    for name in imported_names(source, module):
        top, _, inner = name.partition(".")
        if top in sys.stdlib_module_names or top == "__future__":
            continue
        allowed = LAYERS[own].ours | {own} if top == PACKAGE else LAYERS[own].theirs
        if name != f"{PACKAGE}.__version__" and not _covers(allowed, inner if top == PACKAGE else name):
            broken.append(
                f"{module} imports {name}; '{own}' may import only: {', '.join(sorted(allowed)) or 'nothing'}"
            )
    return broken


def _covers(allowed: Iterable[str], name: str) -> bool:
    return any(name == entry or name.startswith(f"{entry}.") for entry in allowed)


def _modules() -> dict[str, Path]:
    paths = sorted((ROOT / PACKAGE).rglob("*.py"))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}


def test_every_import_points_downwards() -> None:
    broken = [line for module, path in _modules().items() for line in violations(path.read_text(), module)]
    assert not broken, "\n" + "\n".join(broken)


def test_the_table_has_no_cycles() -> None:
    seen: set[str] = set()
    for name, rule in LAYERS.items():
        above = {entry for entry in rule.ours if entry.split(".")[0] not in seen}
        assert not above, f"'{name}' may import {sorted(above)}, which stands later in LAYERS"
        seen.add(name)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("surrogate.solve", "import mujoco"),
        ("affinity.matrix", "from pgx_core.surrogate.solve import solve"),
        ("clustering.sdp", "from pgx_core import simulation"),
        ("clustering.sdp", "from ..simulation import engine"),
        ("learning.ppo", "from pgx_core.types import Partition"),
        ("learning.ppo", "from pgx_core import types"),
        ("gradients.gram", "from pgx_core.learning.ppo import Ppo"),
        ("serving.bundle", "import jaxtyping"),
        ("serving.bundle", "from pgx_core.types import Features"),
        ("serving.router", "def late():\n    import rclpy"),
        ("serving.router", "if TYPE_CHECKING:\n    from torch import Tensor"),
        ("contract", "import numpy"),
        ("play", "import torch"),
        ("play", "from pgx_core.simulation.robot_model import compile_robot"),
        ("commands.play", "from pgx_core.run import read_run"),
        ("observation", "from . import types"),
        ("errors", "import pgx_core"),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str) -> None:
    found = violations(source, f"{PACKAGE}.{module}")
    assert len(found) == 1 and "may import only" in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("surrogate.solve", "import json, numpy.linalg\nfrom torch.linalg import eigh"),
        ("surrogate.solve", "from pgx_core.types import Features\nfrom .lift import lift"),
        ("surrogate.__init__", "from .solve import solve"),
        ("learning.ppo", "from pgx_core.types import Transitions"),
        ("gradients.gram", "from pgx_core.learning.network import GaussianPolicy"),
        ("gradients.gram", "from pgx_core.learning import network"),
        ("cli", "from pgx_core import __version__"),
    ],
)
def test_an_allowed_import_passes(module: str, source: str) -> None:
    assert violations(source, f"{PACKAGE}.{module}") == []


def test_a_folder_outside_the_table_is_named() -> None:
    (message,) = violations("", f"{PACKAGE}.planning.search")
    assert "'planning' is not in LAYERS" in message


SERVING_ALONE = """
import importlib, pkgutil
import pgx_core.serving
for module in pkgutil.walk_packages(pgx_core.serving.__path__, "pgx_core.serving."):
    importlib.import_module(module.name)
"""
LOADED = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"


def loaded_by(script: str) -> set[str]:
    """The packages that a script loads in an interpreter of its own: this one has torch already."""
    command = [sys.executable, "-c", script + LOADED]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_serving_loads_nothing_of_the_trainer() -> None:
    trainers = {"torch", "mujoco", "rclpy", "jaxtyping", "scipy", "sklearn", "cvxpy", "matplotlib"}
    assert not loaded_by(SERVING_ALONE) & trainers


def test_training_starts_without_what_only_clustering_and_drawing_need() -> None:
    # They take as long to load as torch, and every process of a training would.
    found = loaded_by("import pgx_core.commands.train\n")
    assert "torch" in found and not found & {"sklearn", "cvxpy", "matplotlib"}
