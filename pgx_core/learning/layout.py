"""Which world serves which policy of a population, and which objective it pursues there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Member:
    """One policy of a population."""

    objectives: tuple[int, ...]
    conditioned: bool
    worlds: int  # spread evenly over its objectives; at least one each


@dataclass(frozen=True)
class Layout:
    """Maps the flat worlds of a simulation to the [P, B] slots of a population and back.

    Worlds are sorted by objective, so that rewards are computed on slices. Policies with fewer than B
    worlds have empty slots, which weigh nothing in any mean.
    """

    objectives: Int[np.ndarray, "W"]
    slots: Int[Tensor, "P B"]  # world of each slot; 0 in empty ones
    mask: Float[Tensor, "P B"]  # 1 where the slot has a world
    slot_objectives: Int[Tensor, "P B"]
    slot_of_world: Int[Tensor, "W"]  # flat index into P * B

    def to(self, device: torch.device) -> Layout:
        """The same layout for tensors of a device."""
        return replace(
            self,
            slots=self.slots.to(device),
            mask=self.mask.to(device),
            slot_objectives=self.slot_objectives.to(device),
            slot_of_world=self.slot_of_world.to(device),
        )

    def gather(self, values: Tensor) -> Tensor:
        """[W, ...] to [P, B, ...]."""
        return values[self.slots]

    def scatter(self, values: Tensor) -> Tensor:
        """[P, B, ...] to [W, ...]."""
        return values.flatten(0, 1)[self.slot_of_world]


def make_layout(members: tuple[Member, ...]) -> Layout:
    """Spread each member's worlds over its objectives as evenly as whole numbers allow."""
    pairs = [
        (member.objectives[i % len(member.objectives)], policy)
        for policy, member in enumerate(members)
        for i in range(max(member.worlds, len(member.objectives)))
    ]
    pairs.sort()
    objectives = np.array([objective for objective, _ in pairs])
    policies = np.array([policy for _, policy in pairs])
    width = int(np.bincount(policies).max())
    slots = torch.zeros(len(members), width, dtype=torch.int64)
    mask = torch.zeros(len(members), width)
    slot_of_world = torch.zeros(len(pairs), dtype=torch.int64)
    for policy in range(len(members)):
        worlds = torch.from_numpy(np.flatnonzero(policies == policy))
        slots[policy, : len(worlds)] = worlds
        mask[policy, : len(worlds)] = 1.0
        slot_of_world[worlds] = policy * width + torch.arange(len(worlds))
    return Layout(objectives, slots, mask, torch.from_numpy(objectives)[slots], slot_of_world)
