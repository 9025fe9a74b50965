"""Anderson acceleration of many fixed-point iterations side by side (Walker & Ni 2011)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

DEPTH = 6  # past moves that are combined


class Anderson:
    """Extrapolates m independent sequences x -> T(x) from their last few moves."""

    def __init__(self, like: Float[Tensor, "m r"]) -> None:
        m, r = like.shape
        self._points = like.new_zeros((m, DEPTH, r))  # differences of x
        self._moves = like.new_zeros((m, DEPTH, r))  # differences of T(x) - x
        self._last: tuple[Tensor, Tensor] | None = None
        self._count = 0

    def extrapolate(
        self, point: Float[Tensor, "m r"], target: Float[Tensor, "m r"], misled: Bool[Tensor, "m"]
    ) -> Float[Tensor, "m r"]:
        """The next x, given x and T(x). Misled sequences drop their past and take the plain step."""
        move = target - point
        if self._last is not None:
            slot = self._count % DEPTH
            self._points[:, slot], self._moves[:, slot] = point - self._last[0], move - self._last[1]
            self._count += 1
        self._last = point, move
        self._points[misled] = self._moves[misled] = 0.0
        # Least squares over the past moves; the small diagonal lets an empty past give zeros.
        normal = self._moves @ self._moves.mT
        scale = normal.diagonal(dim1=1, dim2=2).sum(1)[:, None, None] + torch.finfo(normal.dtype).tiny
        normal = normal / scale + 1e-12 * torch.eye(DEPTH).to(normal)
        mix: Tensor = torch.linalg.solve(normal, self._moves @ move[:, :, None] / scale)
        return target - ((self._points + self._moves).mT @ mix)[:, :, 0]
