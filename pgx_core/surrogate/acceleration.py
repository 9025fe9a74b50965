"""Anderson acceleration of many fixed-point iterations side by side (Walker & Ni 2011)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

DEPTH = 6  # past moves that are combined


class Anderson:
    """Extrapolates m independent sequences x -> T(x) from their last few moves."""

    def __init__(self, shape: tuple[int, int]) -> None:
        m, r = shape
        self._points = np.zeros((m, DEPTH, r))  # differences of x
        self._moves = np.zeros((m, DEPTH, r))  # differences of T(x) - x
        self._last: tuple[np.ndarray, np.ndarray] | None = None
        self._count = 0

    def extrapolate(
        self, point: Float[np.ndarray, "m r"], target: Float[np.ndarray, "m r"], misled: Bool[np.ndarray, "m"]
    ) -> Float[np.ndarray, "m r"]:
        """The next x, given x and T(x). Misled sequences drop their past and take the plain step."""
        move = target - point
        if self._last is not None:
            slot = self._count % DEPTH
            self._points[:, slot], self._moves[:, slot] = point - self._last[0], move - self._last[1]
            self._count += 1
        self._last = point, move
        self._points[misled] = self._moves[misled] = 0.0
        # Least squares over the past moves; the small diagonal lets an empty past give zeros.
        normal = self._moves @ self._moves.transpose(0, 2, 1)
        scale = np.trace(normal, axis1=1, axis2=2)[:, None, None] + np.finfo(np.float64).tiny
        normal = normal / scale + 1e-12 * np.eye(DEPTH)
        mix = np.linalg.solve(normal, self._moves @ move[:, :, None] / scale)
        extrapolated: np.ndarray = target - ((self._points + self._moves).transpose(0, 2, 1) @ mix)[:, :, 0]
        return extrapolated
