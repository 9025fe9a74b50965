"""Training metrics: TensorBoard for watching, a plain JSON-lines file for everything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from pgx_core.files import write_file
from pgx_core.learning.trainer import Iteration
from pgx_core.training.board import Board

Row = dict[str, Any]


class Metrics:
    """The rows of one training, kept with its checkpoint so that a resumed run has no gap and no repeat."""

    def __init__(self, folder: Path, names: tuple[str, ...], rows: list[Row]) -> None:
        self.rows = rows
        self._path = folder / "metrics.jsonl"
        self._names = names
        self._board = Board(folder / "tensorboard", rows[-1]["steps"] + 1 if rows else None)

    def add(self, iteration: Iteration) -> None:
        """Record one iteration.

        Raises:
            RunError: the board cannot be written.
        """
        scores = iteration.scores.numpy()
        served = ~np.isnan(scores).all(0)
        best = {name: float(np.nanmean(scores[:, i])) for i, name in enumerate(self._names) if served[i]}
        discrete = bool(iteration.action_std.isnan().any())
        exploration = {"entropy": iteration.update.entropy} if discrete else {"action_std": iteration.action_std}
        row: Row = {
            "steps": iteration.steps,
            "score": float(np.mean(list(best.values()))),
            "scores": best,
            "policy_loss": iteration.update.policy_loss.tolist(),
            "value_loss": iteration.update.value_loss.tolist(),
            "kl": iteration.update.divergence.tolist(),
            **{key: value.tolist() for key, value in exploration.items()},
            "diverged": iteration.diverged,
        }
        if iteration.peak_memory is not None:
            row["peak_memory"] = iteration.peak_memory
        self.rows.append(row)
        scalars = {"score": row["score"], **{f"score/{name}": score for name, score in best.items()}}
        scalars |= {key: float(np.mean(row[key])) for key in ("value_loss", "kl", "diverged", *exploration)}
        self._board.add(iteration.steps, scalars)

    def save(self) -> None:
        """Write the plain file.

        Raises:
            RunError: it cannot be written.
        """
        write_file(self._path, "".join(json.dumps(row) + "\n" for row in self.rows))

    def close(self) -> None:
        """Close the board."""
        self._board.close()
