"""The bundles that are shipped: intact, as their cards say, and fit for worlds that they were not trained on."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pgx_core.objectives.suites import SUITES
from pgx_core.records import from_plain
from pgx_core.rehearsal import RehearsalConfig, rehearse_in, widen
from pgx_core.serving import load_bundle
from pgx_core.serving.rehearsal import REHEARSAL_FILE, Rehearsal

MODELS = sorted(path.parent for path in (Path(__file__).parents[1] / "models").glob("*/bundle.json"))
EPISODES = 5
MAY_FALL = 0.05  # share of the episodes in randomised worlds
MUST_REACH = 0.6  # share of these few episodes in which a tool reaches its target in time and stays there


@pytest.fixture(params=MODELS, ids=lambda path: path.name)
def model(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_it_is_intact_and_serves_the_suite_of_its_name(model: Path) -> None:
    manifest = load_bundle(model).manifest
    assert tuple(objective.name for objective in manifest.objectives) == SUITES[model.name].names
    assert manifest.randomization == SUITES[model.name].randomization


def test_its_card_tells_what_was_measured(model: Path) -> None:
    figures = from_plain(Rehearsal, json.loads((model / REHEARSAL_FILE).read_text()), REHEARSAL_FILE)
    assert {(row.objective, row.worlds) for row in figures.rows} == {
        (name, worlds) for name in SUITES[model.name].names for worlds in ("nominal", "randomised", "wider")
    }
    card = (model / "MODEL_CARD.md").read_text()
    assert all(f"| {row.objective} | {row.worlds} | {row.falls} of {row.episodes} |" in card for row in figures.rows)


def test_it_survives_worlds_it_was_not_trained_on(
    model: Path, unchecked: Callable[[], AbstractContextManager[None]]
) -> None:
    with unchecked():
        config, suite = RehearsalConfig(episodes=EPISODES, seed=1), SUITES[model.name]
        wider = rehearse_in(load_bundle(model), suite, "wider", widen(suite.randomization, config.widened), config)
    assert sum(row.falls for row in wider) <= MAY_FALL * EPISODES * len(wider)
    reached = [row.reached for row in wider if row.reached is not None]
    assert not reached or sum(reached) / len(reached) >= MUST_REACH
