"""Work spread over processes that are killed, and over the nodes of a real Ray cluster, one of which is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch

from pgx_core.cli import main
from pgx_core.errors import ConfigError, RunError
from pgx_core.files import write_file
from pgx_core.processes import run_in_processes
from pgx_core.run import read_run
from pgx_core.scale import spread

ROOT = Path(__file__).parents[2]
PGX = [sys.executable, "-c", "from pgx_core.cli import main; main()"]
STEPS = 40_000
SMALL = ("--steps", f"{STEPS}", "--training.checkpoint-seconds", "0.2", "--compare", "joint_id", "specialists")
HASTY = ("--rollouts.samples", "1000")
RAISE = "from pgx_core.errors import RunError; raise RunError"
INTERRUPTED_START = """
import os, signal, threading, time
from functools import partial
from multiprocessing import util
from pgx_core.processes import run_in_processes

spawn = util.spawnv_passfds

def interrupted(path, arguments, descriptors):
    worker = spawn(path, arguments, descriptors)
    if any("spawn_main" in str(argument) for argument in arguments):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
    return worker

util.spawnv_passfds = interrupted
threading.Thread(target=time.sleep, args=(200,), daemon=True).start()
try:
    run_in_processes([partial(time.sleep, 200)], 1)
except KeyboardInterrupt:
    print("interrupted")
"""


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


def require_same(one: Path, other: Path) -> None:
    """Both runs' policies are equal bit for bit, and so are the metrics on the way there."""
    for training in ("groups", "baselines/joint_id", "baselines/specialists"):
        first, second = (read_run(folder).checkpoint(training) for folder in (one, other))
        assert first["rows"] == second["rows"]
        policies = [checkpoint["trainer"]["population"] for checkpoint in (first, second)]
        assert policies[0].keys() == policies[1].keys()
        assert all(torch.equal(policies[0][name], policies[1][name]) for name in policies[0])


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


@pytest.fixture(scope="module")
def alone(tmp_path_factory, unchecked):
    """A run whose baselines one process trained, and beside it a copy from before its trainings."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    with unchecked():
        assert main(training(folder, "clustering")) is None
        shutil.copytree(folder, folder.with_name("begun"))
        assert main(training(folder, "baselines")) is None
    return folder


@pytest.fixture
def shared(alone, tmp_path):
    """The folder of a run that several processes go on with."""
    return shutil.copytree(alone.with_name("begun"), tmp_path / "shared")


def test_a_run_that_loses_a_node_ends_with_the_same_policies(cluster, alone, shared):
    process = start(training(shared, "baselines", "--workers", cluster.address))
    logs = Path(cluster.head_node.get_logs_dir_path())
    wait_for(lambda: list(logs.glob("python-core-driver-*")), process)  # at the head, which is not the one to be killed
    node = cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    wait_for((shared / "baselines/joint_id/checkpoint.pt").exists, process)
    done = read_run(shared).saved_steps("baselines/joint_id")
    cluster.remove_node(node, allow_graceful=False)
    assert done < STEPS, "the only node was at it, and not yet done"
    cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    assert process.wait(300) == 0, process.stdout.read()
    require_same(alone, shared)


def test_processes_that_are_killed_go_on_and_end_with_the_policies_of_one(alone, shared, call):
    process = start(training(shared, "baselines", "--workers", "2"))
    run = read_run(shared)
    wait_for(lambda: run.saved_steps("groups") and run.saved_steps("baselines/joint_id"), process)
    helpers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    gone, alive = psutil.wait_procs(helpers, 10)
    assert not alive and len(gone) >= 2, "they end with the process that began them"
    assert run.saved_steps("groups") < run.training_steps("groups_id"), "it was not yet done"
    again = call(*training(shared, "baselines", "--workers", "2"))
    assert again.status == 0, again.err
    require_same(alone, shared)
    own = run.checkpoint("groups")["seconds"]
    assert own <= run.costs()["groups"].seconds < own + 5.0, "what trained beside it is not its cost"


def test_ctrl_c_is_one_line_even_while_processes_start(shared):
    """A terminal sends it to all of them."""
    command = [*PGX, *training(shared, "baselines", "--workers", "2")]
    environment = os.environ | {"TQDM_DISABLE": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    wait_for(lambda: workers(process.pid), process)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 130, said
    (line,) = said.split("\n")[-2:-1]
    assert "interrupted; what is finished is kept" in line and "Traceback" not in said


def test_ctrl_c_waits_for_a_process_that_starts_even_if_another_thread_hears_it():
    """The kernel gives it to any thread that does not block it; a process half started would complain."""
    command = [sys.executable, "-c", INTERRUPTED_START]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert (ended.stdout, ended.stderr) == ("interrupted\n", "")


def test_an_error_in_one_process_ends_the_others_and_is_told():
    began = time.monotonic()
    with pytest.raises(RunError, match="out of luck"):
        spread(exec, [("import time; time.sleep(200)",), (f"{RAISE}('out of luck')",)], 2)
    assert time.monotonic() - began < 100


def test_a_fault_in_a_process_shows_where_it_happened():
    with pytest.raises(ZeroDivisionError) as found:
        spread(exec, [("def halve():\n    1 / 0\nhalve()",)], 2)
    assert "in halve" in str(found.value.__cause__)
    unspeakable = "class Odd(Exception): pass\nraise Odd(lambda: 0)"
    with pytest.raises(RuntimeError, match="Odd"):
        spread(exec, [(unspeakable,)], 2)


def test_a_killed_process_is_one_line():
    began = time.monotonic()
    with pytest.raises(RunError, match=r"one was killed.*fewer --workers"):
        spread(exec, [("import os; os.kill(os.getpid(), 9)",), ("import time; time.sleep(200)",)], 2)
    assert time.monotonic() - began < 100, "it is noticed, and the other one ended"


def workers(parent: int | None = None) -> list[psutil.Process]:
    """Of a process; of this one where none is given."""
    return [one for one in psutil.Process(parent).children() if "spawn_main" in str(one.cmdline())]


def test_a_process_killed_while_others_start_is_noticed():
    def kill_first() -> None:
        while not workers():
            time.sleep(0.001)
        workers()[0].kill()

    for _ in range(3):
        threading.Thread(target=kill_first).start()
        began = time.monotonic()
        with pytest.raises(RunError, match="one was killed"):
            spread(time.sleep, [(200,)] * 4, 4)
        assert time.monotonic() - began < 60


def test_a_process_killed_between_two_jobs_is_noticed():
    def kill(_: float) -> None:
        (worker,) = workers()
        worker.kill()
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)  # with all its threads

    with pytest.raises(RunError, match="one was killed"):
        run_in_processes([time.monotonic, time.monotonic], 1, kill)


def test_no_process_at_all_is_one_line_before_anything_is_written(tmp_path, call):
    ended = call(*training(tmp_path / "run", "baselines", "--workers", "0"))
    assert ended.status == 1 and "workers: expected 1 or more processes" in ended.complaint
    assert not (tmp_path / "run").exists()


def test_a_cluster_that_is_not_there_is_one_line(tmp_path):
    pytest.importorskip("ray", reason="needs the extra 'scale'")
    with pytest.raises(ConfigError, match=r"a Ray cluster at '127.0.0.1:1'"):
        spread(write_file, [(tmp_path / "a", "")], "127.0.0.1:1")


def test_without_ray_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r'pip install "pgx-core\[scale\]"'):
        spread(print, [()], "auto")
