"""Work spread over the nodes of a real Ray cluster, one of which is killed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pgx_core.errors import ConfigError
from pgx_core.files import write_file
from pgx_core.run import read_run
from pgx_core.scale import spread

ROOT = Path(__file__).parents[2]
PGX = [sys.executable, "-c", "from pgx_core.cli import main; main()"]
STEPS = 40_000
SMALL = ("--steps", f"{STEPS}", "--training.checkpoint-seconds", "0.2", "--compare", "joint_id", "specialists")
HASTY = ("--rollouts.samples", "1000")


@pytest.fixture
def cluster(monkeypatch):
    """A head without a processor; nodes that work are added by the test."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # it yields to all other work on the machine otherwise
    pytest.importorskip("ray", reason="needs the extra 'scale'")
    from ray.cluster_utils import Cluster

    # A dead node is noticed in a second or two, and not in half a minute.
    quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 3}
    head = {"num_cpus": 0, "object_store_memory": 80_000_000, "_system_config": quick, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    yield cluster
    cluster.shutdown()


def training(folder: Path, last: str, *options: str) -> list[str]:
    """The arguments of a run up to the stage `last`."""
    return ["train", "tiny", "--out", str(folder), "--to", last, *SMALL, *HASTY, *options]


def start(arguments: list[str]) -> subprocess.Popen:
    """`pgx` in a process of its own."""
    command = [*PGX, *arguments]
    environment = os.environ | {"TQDM_DISABLE": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(condition, process: subprocess.Popen, seconds: float = 120.0) -> None:
    """Until it holds; a process that ends before fails the test."""
    for _ in range(round(seconds / 0.05)):
        if condition():
            return
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(process.stdout.read())
    pytest.fail("waited in vain")


def test_a_run_that_loses_a_node_ends_with_the_same_policies(cluster, tmp_path, call):
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert call(*training(alone, "groups")).status == 0
    shutil.copytree(alone, shared)
    process = start(training(shared, "baselines", "--ray", cluster.address))
    logs = Path(cluster.head_node.get_logs_dir_path())
    wait_for(lambda: list(logs.glob("python-core-driver-*")), process)  # at the head, which is not the one to be killed
    node = cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    wait_for((shared / "baselines/joint_id/checkpoint.pt").exists, process)
    done = read_run(shared).saved_steps("baselines/joint_id")
    cluster.remove_node(node, allow_graceful=False)
    assert done < STEPS, "the only node was at it, and not yet done"
    cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    assert call(*training(alone, "baselines")).status == 0
    assert process.wait(300) == 0, process.stdout.read()
    for method in ("joint_id", "specialists"):
        saved = [read_run(folder).checkpoint(f"baselines/{method}") for folder in (alone, shared)]
        (one, other) = (checkpoint["trainer"]["population"] for checkpoint in saved)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
        assert saved[0]["rows"] == saved[1]["rows"]


def test_a_cluster_that_is_not_there_is_one_line(tmp_path):
    pytest.importorskip("ray", reason="needs the extra 'scale'")
    with pytest.raises(ConfigError, match=r"ray: expected a cluster at '127.0.0.1:1'"):
        spread(write_file, [(tmp_path / "a", "")], "127.0.0.1:1")


def test_without_ray_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r'pip install "pgx-core\[scale\]"'):
        spread(print, [()], "local")
