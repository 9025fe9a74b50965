"""A realistic run to report on, and a small driver of a headless browser."""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgx_core.report.data import Curve, MethodScores, ReportData, StageCost
from pgx_core.types import Affinity, Partition

NAMES = ("forward_1", "backward_1", "forward_2", "backward_2", "forward_3", "backward_3")
SIGNS = np.array([0, 1, 0, 1, 0, 1])
# mean score and number of policies of each method: the figures of a real run on this suite
MEANS = {
    "joint": (0.02, SIGNS * 0),
    "joint_id": (0.80, SIGNS * 0),
    "groups": (0.53, SIGNS),
    "groups_id": (0.82, SIGNS),
    "random": (0.19, np.array([0, 0, 0, 1, 1, 1])),
    "cosine": (0.49, SIGNS),
    "specialists": (0.77, np.arange(6)),
}


def make_affinity(seed: int = 0) -> Affinity:
    """High inside a sign, low across; one pair was never sampled."""
    rng = np.random.default_rng(seed)
    same = SIGNS[:, None] == SIGNS[None, :]
    matrix = np.where(same, rng.uniform(0.7, 1.0, (6, 6)), rng.uniform(-0.1, 0.12, (6, 6)))
    matrix = (matrix + matrix.T) / 2
    matrix[0, 5] = matrix[5, 0] = np.nan
    errors = np.where(np.isnan(matrix), np.nan, 0.04)
    replicates = matrix + 0.04 * rng.standard_normal((8, 6, 6))
    return Affinity(matrix, errors, replicates, NAMES)


def make_methods(error: float = 0.01, seed: int = 1) -> tuple[MethodScores, ...]:
    """Every method at the same steps, with a little spread over the objectives."""
    rng = np.random.default_rng(seed)
    spread = rng.uniform(-0.08, 0.08, 6)
    spread -= spread.mean()
    return tuple(
        MethodScores(
            method,
            labels,
            mean + spread,
            np.full(6, error),
            np.full(6, np.nan),
            steps=1_200_000,
            parameters=5_132 * len(set(labels)),
        )
        for method, (mean, labels) in MEANS.items()
    )


def make_curves() -> tuple[Curve, ...]:
    steps = np.linspace(0, 1_200_000, 40)
    return tuple(Curve(method, steps, mean * (1 - np.exp(-steps / 300_000))) for method, (mean, _) in MEANS.items())


def make_data(**changes: Any) -> ReportData:
    """The sample run; `changes` replace fields."""
    rng = np.random.default_rng(2)
    lengths = np.array([0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05])
    residuals = lengths * np.exp(0.4 * rng.standard_normal((35, 1)) + 0.1 * rng.standard_normal((35, 7)))
    fields: dict[str, Any] = {
        "suite": "cheetah_velocity",
        "robot": "half cheetah",
        "seed": 0,
        "names": NAMES,
        "affinity": make_affinity(),
        "partition": Partition(SIGNS, NAMES, 5.1, 0.97, "semidefinite relaxation"),
        "methods": make_methods(),
        "curves": make_curves(),
        "costs": (
            StageCost("meta training", 12.3, 200_000),
            StageCost("rollouts", 4.1, 49_152),
            StageCost("gradient features", 5.0, 0),
            StageCost("surrogate", 0.8, 0),
            StageCost("clustering", 0.3, 0),
            StageCost("group training", 61.7, 950_000),
            StageCost("evaluation", 7.9, 96_000),
        ),
        "taylor_lengths": lengths,
        "taylor_residuals": residuals,
        "step_lengths": rng.uniform(0.004, 0.01, 35),
        "step_residuals": residuals[:, 4],
        "command": "pgx run cheetah_velocity --seed 0 --steps 1200000 --out runs/cheetah_velocity",
    }
    return ReportData(**(fields | changes))


@pytest.fixture(scope="session")
def build() -> Callable[..., ReportData]:
    """Builds the sample run with some fields replaced."""
    return make_data


@pytest.fixture(scope="session")
def data() -> ReportData:
    """The sample run."""
    return make_data()


class Browser:
    """One tab of a headless browser, driven over the DevTools pipe (messages end with a zero byte)."""

    def __init__(self, program: str, profile: Path) -> None:
        from_parent, self._out = _pipe()
        self._in, from_child = _pipe()
        # The browser insists on descriptors 3 and 4.
        start = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4);"
            "os.execv(sys.argv[3], sys.argv[3:])"
        )
        address = "about:blank"
        switches = (
            "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
            "--disable-component-update --disable-sync --disable-dev-shm-usage --remote-debugging-pipe "
            f"--user-data-dir={profile}"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", start, str(from_parent), str(from_child), program, *switches.split(), address],
            pass_fds=(from_parent, from_child),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(from_parent)
        os.close(from_child)
        self._reader = os.fdopen(self._in, "rb", buffering=0)
        self._rest = b""
        self._number = itertools.count(1)
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events met on the way are kept."""
        number = next(self._number)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != number:
            self.events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def open(self, page: Path, width: int, mobile: bool, dark: bool = False) -> None:
        """Load a file at a screen width in CSS pixels."""
        self.events.clear()
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=mobile)
        self.call("Page.navigate", url=page.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]

    def screenshot(self, path: Path) -> None:
        """The whole page, not only what fits on the screen."""
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(picture))

    def close(self) -> None:
        """End the browser this object started."""
        os.write(self._out, json.dumps({"id": 0, "method": "Browser.close"}).encode() + b"\0")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.close()
        os.close(self._out)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            chunk = self._reader.read(1 << 16)
            assert chunk, "the browser ended early"
            self._rest += chunk
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)


def _pipe() -> tuple[int, int]:
    """A pipe whose ends stay clear of the descriptors 3 and 4."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high[0], high[1]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((path for path in map(shutil.which, names) if path), None)
    if program is None:
        pytest.skip("install chromium")
    driver = Browser(program, tmp_path_factory.mktemp("profile"))
    yield driver
    driver.close()
