"""All trials of a bundle: in worker processes, with progress, and resumed where an earlier process stopped."""

from __future__ import annotations

import contextlib
import itertools
import sys
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import mujoco
import numpy as np
from tqdm import tqdm

from pgx_core.errors import ConfigError, require
from pgx_core.files import write_file
from pgx_core.play import load_model
from pgx_core.processes import run_in_processes
from pgx_core.records import from_plain, parse_json, to_json
from pgx_core.serving import Bundle, load_bundle
from pgx_core.serving.manifest import CARD_FILE, sha256
from pgx_core.serving.rehearsal import REHEARSAL_FILE
from pgx_core.serving.switches import SWITCHES_FILE, SWITCHES_PICTURE, SwitchMatrix, SwitchPair
from pgx_core.switching.measure import Pair, Reference, matrix_of, measure_pair, measure_reference
from pgx_core.switching.trial import SwitchConfig


@dataclass(frozen=True)
class Task:
    """What every worker needs."""

    folder: Path
    mjcf: Path | None
    config: SwitchConfig


@dataclass(frozen=True)
class Draft:
    """Pairs that are finished, and what they were finished for."""

    key: str
    pairs: tuple[SwitchPair, ...]


def measure_switches(folder: Path, mjcf: Path | None, config: SwitchConfig, workers: int) -> SwitchMatrix:
    """Try every ordered pair of a bundle's objectives.

    Finished pairs are kept beside the bundle until `forget_draft`; the same call goes on from there.

    Args:
        folder: the bundle.
        mjcf: its robot, where it carries none.
        config: settings.
        workers: processes, 1 or more; 1: this one.

    Raises:
        BundleError: the bundle fails verification, has one objective, or its robot does not load.
        ConfigError: too few workers.
        RunError: a worker was killed.
    """
    require(workers >= 1, "workers", "1 or more", workers)
    task = Task(folder.resolve(), mjcf.resolve() if mjcf else None, config)
    bundle = load_bundle(task.folder)
    model = load_model(bundle, task.mjcf)
    names = [objective.name for objective in bundle.manifest.objectives]
    require(len(names) > 1, "switches", "a bundle of two objectives or more", len(names))
    key = _key(bundle, model, config)
    done = {(pair.source, pair.target): pair for pair in _read_draft(task.folder, key)}
    todo = [ends for ends in itertools.permutations(names, 2) if ends not in done]
    with _progress(len(names) + len(done) + len(todo)) as bar:
        references = {}
        for name in names:
            references[name] = measure_reference(bundle, model, name, config)
            bar.update(1)
        bar.update(len(done))

        def keep(pair: SwitchPair) -> None:
            done[pair.source, pair.target] = pair
            write_file(_draft_file(task.folder), to_json(Draft(key, tuple(done.values()))))
            bar.update(1)

        if workers == 1 or len(todo) < 2:
            for ends in todo:
                keep(measure_pair(bundle, model, ends, references, config))
        else:
            run_in_processes([partial(_measure, task, references, ends) for ends in todo], workers, keep)
    return matrix_of(references, done.values(), config)


def forget_draft(folder: Path) -> None:
    """Remove what is kept beside the bundle, once the matrix is in it."""
    _draft_file(folder.resolve()).unlink(missing_ok=True)


def _measure(task: Task, references: dict[str, Reference], ends: Pair) -> SwitchPair:
    """One pair's figures, in a worker process."""
    bundle, model = _load(task)
    return measure_pair(bundle, model, ends, references, task.config)


@cache
def _load(task: Task) -> tuple[Bundle, mujoco.MjModel]:
    """The bundle and its robot, once a process."""
    bundle = load_bundle(task.folder)
    return bundle, load_model(bundle, task.mjcf)


def _key(bundle: Bundle, model: mujoco.MjModel, config: SwitchConfig) -> str:
    """What the figures depend on: the settings, the physics, and every file but what this adds."""
    added = (CARD_FILE, SWITCHES_FILE, SWITCHES_PICTURE, REHEARSAL_FILE)
    files = {name: digest for name, digest in bundle.manifest.files.items() if name not in added}
    buffer = np.zeros(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return sha256(to_json((config, bundle.manifest.contract, files, mujoco.__version__)).encode() + buffer.tobytes())


def _draft_file(folder: Path) -> Path:
    return folder.parent / f"{folder.name}.{SWITCHES_FILE}"


def _read_draft(folder: Path, key: str) -> tuple[SwitchPair, ...]:
    """What an earlier process finished for the same key; nothing of another one, or of a damaged file."""
    with contextlib.suppress(OSError, UnicodeDecodeError, ConfigError):
        draft = from_plain(Draft, parse_json(_draft_file(folder).read_text(), SWITCHES_FILE), SWITCHES_FILE)
        if draft.key == key:
            return draft.pairs
    return ()


def _progress(total: int) -> tqdm:
    interval = 0.1 if sys.stderr.isatty() else 60.0  # s between two updates; in a file every one stays
    return tqdm(total=total, desc="switches", unit="pair", mininterval=interval, maxinterval=max(10.0, interval))
