"""The model card: the bundle for people."""

from __future__ import annotations

from collections.abc import Iterable

from pgx_core.serving.manifest import BundleManifest

LIMITS = """\
- The policies were trained and scored in simulation. A real robot differs: try each objective suspended, then at
  low gains.
- Only the listed objectives were trained. Outside the states met in training the actions mean nothing.
- **Not certified safety.** The command limits and ramps here protect against surprises of the software. They do not
  replace an emergency stop, a risk assessment or a safety controller."""


def model_card(manifest: BundleManifest, rationale: str, licence: str) -> str:
    """The Markdown text of the card.

    Args:
        manifest: the bundle's, complete but for the card's own checksum.
        rationale: why these groups.
        licence: SPDX identifier.
    """
    contract = manifest.contract
    sees = "the policies see the commanded objective" if manifest.conditioned else "the policies do not see it"
    return f"""\
---
license: {licence.lower()}
library_name: pgx
tags: [reinforcement-learning, robotics, onnx]
---

# {manifest.name}

Policies for the robot `{contract.robot}`: {len(manifest.objectives)} objectives in {len(manifest.groups)} groups,
{contract.command_type} commands for {contract.action_size} joints at {contract.control_rate:g} Hz.

## Objectives

Score: mean of the training evaluation of the policy that serves the objective; {sees}.

{_table(("objective", "group", "score"), ((o.name, o.group, f"{o.score:.3f}") for o in manifest.objectives))}

## Groups

{rationale.strip()}

{_table(("group", "objectives"), ((group.name, _members(manifest, group.name)) for group in manifest.groups))}

## Training

Seed {manifest.seed}.

{_table(("figure", "value"), ((name, f"{value:g}") for name, value in sorted(manifest.metrics.items())))}

## Joints

{_table(("joint", "lowest command", "highest command", "velocity limit", "effort limit"), _joints(manifest))}

## Limits

{LIMITS}

## Versions

{_table(("package", "version"), manifest.versions.items())}

## Files

{_table(("file", "SHA-256"), manifest.files.items())}

## Licence

{licence}
"""


def _members(manifest: BundleManifest, group: str) -> str:
    return ", ".join(objective.name for objective in manifest.objectives if objective.group == group)


def _joints(manifest: BundleManifest) -> Iterable[tuple[str, ...]]:
    for joint in manifest.contract.joints:
        yield joint.name, *(f"{x:g}" for x in (joint.lower, joint.upper, joint.velocity_limit, joint.effort_limit))


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
