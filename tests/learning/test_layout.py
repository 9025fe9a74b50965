"""Worlds to slots and back."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from pgx_core.learning.layout import Member, make_layout

objectives = st.sets(st.integers(0, 5), min_size=1).map(lambda chosen: tuple(sorted(chosen)))
populations = st.lists(st.tuples(objectives, st.booleans(), st.integers(0, 20)), min_size=1, max_size=5)


def members_of(rows):
    return tuple(Member(*row) for row in rows)


@given(populations)
def test_gather_and_scatter_are_inverse(rows):
    layout = make_layout(members_of(rows))
    values = torch.randn(len(layout.objectives), 3)
    assert torch.equal(layout.scatter(layout.gather(values)), values)
    slots = torch.randn(*layout.mask.shape, 2)
    real = layout.mask.bool()
    assert torch.equal(layout.gather(layout.scatter(slots))[real], slots[real])


@given(populations)
def test_every_world_has_one_slot_and_its_objective_there(rows):
    layout = make_layout(members_of(rows))
    real = layout.mask.bool()
    assert sorted(layout.slots[real].tolist()) == list(range(len(layout.objectives)))
    assert torch.equal(layout.slot_objectives[real], torch.from_numpy(layout.objectives)[layout.slots[real]])
    assert layout.mask.shape[1] == layout.mask.sum(1).max()


@given(populations)
def test_each_policy_gets_its_worlds_spread_evenly_over_its_objectives(rows):
    layout = make_layout(members_of(rows))
    for policy, member in enumerate(members_of(rows)):
        mine = layout.slot_objectives[policy][layout.mask[policy].bool()]
        counts = [int((mine == objective).sum()) for objective in member.objectives]
        assert sum(counts) == len(mine) == max(member.worlds, len(member.objectives))
        assert min(counts) >= 1 and max(counts) - min(counts) <= 1


@given(populations)
def test_worlds_are_sorted_by_objective(rows):
    assert (np.diff(make_layout(members_of(rows)).objectives) >= 0).all()
