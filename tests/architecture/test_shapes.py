"""What the tests check at every call: shapes and types, in the modules that annotate shapes."""

from __future__ import annotations

import jaxtyping
import pytest
import torch
from beartype.roar import BeartypeCallHintViolation


def test_a_wrong_shape_is_refused_where_shapes_are_annotated():
    from pgx_core.learning.distribution import Gaussian

    outputs, log_std = torch.zeros(4, 2), torch.zeros(2)
    assert Gaussian(2).log_prob(outputs, log_std, torch.zeros(4, 2)).shape == (4,)
    with pytest.raises(jaxtyping.TypeCheckError):
        Gaussian(2).log_prob(outputs, log_std, torch.zeros(3, 2))


def test_types_are_checked_where_no_shape_is():
    from pgx_core.serving.modes import ModeState, count

    with pytest.raises(BeartypeCallHintViolation):
        count("HOLD", None, 0.0)
    with pytest.raises(BeartypeCallHintViolation):
        ModeState("HOLD")
