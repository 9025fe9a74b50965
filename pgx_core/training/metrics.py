"""Training metrics: TensorBoard for watching, a plain JSON-lines file for everything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from pgx_core.files import write_file
from pgx_core.learning.trainer import Iteration

Row = dict[str, Any]


class Metrics:
    """The rows of one training, kept with its checkpoint so that a resumed run has no gap and no repeat."""

    def __init__(self, folder: Path, names: tuple[str, ...], rows: list[Row]) -> None:
        self.rows = rows
        self._path = folder / "metrics.jsonl"
        self._names = names
        purge = rows[-1]["steps"] + 1 if rows else None
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=purge)

    def add(self, iteration: Iteration) -> None:
        """Record one iteration."""
        scores = iteration.scores.numpy()
        served = ~np.isnan(scores).all(0)
        best = {name: float(np.nanmean(scores[:, i])) for i, name in enumerate(self._names) if served[i]}
        row: Row = {
            "steps": iteration.steps,
            "score": float(np.mean(list(best.values()))),
            "scores": best,
            "policy_loss": iteration.update.policy_loss.tolist(),
            "value_loss": iteration.update.value_loss.tolist(),
            "kl": iteration.update.divergence.tolist(),
            "action_std": iteration.action_std.tolist(),
            "diverged": iteration.diverged,
        }
        self.rows.append(row)
        self._board.add_scalar("score", row["score"], iteration.steps)
        for name, score in best.items():
            self._board.add_scalar(f"score/{name}", score, iteration.steps)
        for key in ("value_loss", "kl", "action_std"):
            self._board.add_scalar(key, float(np.mean(row[key])), iteration.steps)

    def save(self) -> None:
        """Write the plain file."""
        write_file(self._path, "".join(json.dumps(row) + "\n" for row in self.rows))
        self._board.flush()

    def close(self) -> None:
        """Write the plain file and close the board."""
        self.save()
        self._board.close()
