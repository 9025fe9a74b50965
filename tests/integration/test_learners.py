"""A run whose every policy is a network of soft modules, up to its scores."""

from __future__ import annotations

import numpy as np

from pgx_core.run import read_run


def test_a_run_of_soft_modules_is_compared_with_paco(options, call, tmp_path) -> None:
    changed = ("--training.network", "soft_modules", "--compare", "paco", "--steps", 1200, "--to", "evaluation")
    ended = call("train", "tiny", *options, *changed, "--out", tmp_path)  # the last of two equal options counts
    assert ended.status == 0, ended.err
    run = read_run(tmp_path)
    kinds = {name: run.population(name).size.network for name in ("meta", "groups", "baselines/paco")}
    assert kinds == {"meta": "soft_modules", "groups": "soft_modules", "baselines/paco": "paco"}
    with np.load(tmp_path / "evaluation" / "paco.npz") as file:
        assert file["labels"].tolist() == [0] * 4 and np.isfinite(file["scores"]).all()
