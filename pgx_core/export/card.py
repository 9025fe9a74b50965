"""The model card: the bundle for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pgx_core.contract import PolicyContract, Randomization
from pgx_core.serving.manifest import BundleManifest
from pgx_core.serving.rehearsal import ARRIVED, DEADLINE, Rehearsal, Rehearsed
from pgx_core.serving.switches import SWITCHES_PICTURE, SwitchMatrix

LIMITS = """\
- The policies were trained and scored in simulation. A real robot differs: try each objective suspended, then at
  low gains.
- Only the listed objectives were trained. Outside the states met in training the actions mean nothing.
- **Not certified safety.** The command limits and ramps here protect against surprises of the software. They do not
  replace an emergency stop, a risk assessment or a safety controller."""

SOURCE_UNITS = {
    "joint_positions": "rad or m",
    "joint_velocities": "rad/s or m/s",
    "projected_gravity": "of a unit vector",
    "angular_velocity": "rad/s",
    "linear_velocity": "m/s",
    "last_action": "of 1",
}


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

Policies for the robot `{contract.robot}`: {len(manifest.objectives)} objectives in {_counted(len(manifest.groups))},
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

## Randomisation

{_randomisation(manifest)}

## Joints

{_table(("joint", "lowest command", "highest command", "velocity limit", "effort limit"), _joints(manifest))}

Units: rad, rad/s and N m of a hinge; m, m/s and N of a slide.

## Limits

{LIMITS}

## Versions

{_table(("package", "version"), manifest.versions.items())}

## Files

{file_table(manifest.files)}

## Licence

{licence}
"""


def _counted(groups: int) -> str:
    return f"{groups} group" if groups == 1 else f"{groups} groups"


def file_table(files: Mapping[str, str]) -> str:
    """The card's table of checksums by file."""
    return _table(("file", "SHA-256"), files.items())


def switch_section(matrix: SwitchMatrix) -> str:
    """The card's account of switches between objectives."""
    rows = (
        (
            pair.source,
            pair.target,
            f"{pair.falls} of {pair.episodes}",
            f"{pair.low:.0%} to {pair.high:.0%}",
            f"{pair.peak:.2f}",
            "never" if pair.settling_s is None else f"{pair.settling_s:.1f} s",
        )
        for pair in matrix.pairs
    )
    heads = ("from", "to", "falls", "95% interval", "peak command change", "settled")
    return f"""\
Direct switches on the moving robot, in simulation, at random moments once the first objective was steady, each watched
for {matrix.watched_s:g} s; the command is blended over {matrix.blend_s:g} s. A fall is a stop by the server (tilt,
over-speed) or a joint beyond its limits; the peak is a share of what the output gate lets pass in a tick; settled is
when 95% of the others pursued the new objective as steadily as without a switch.

![Falls of every switch]({SWITCHES_PICTURE})

{_table(heads, rows)}"""


def rehearsal_section(rehearsal: Rehearsal) -> str:
    """The card's account of every objective in simulation; columns that say nothing of this robot are left out."""
    heads = (
        "objective", "worlds", "falls", "velocity error", "turn error", "reached and stayed", "median time", "distance",
        "position", "velocity", "effort",
    )  # fmt: skip
    rows = [_rehearsed(row) for row in rehearsal.rows]
    told = [index for index in range(len(heads)) if any(row[index] for row in rows)]
    table = _table(tuple(heads[i] for i in told), (tuple(row[i] or "-" for i in told) for row in rows))
    return f"""\
Episodes of {rehearsal.seconds:g} s, by the ONNX policies of this bundle: in the model, in worlds randomised as in
training, and in wider ones, {rehearsal.widened:g} times as far from the model. Errors are means over the second half,
of readings averaged over a second. Reached and stayed: within {100 * ARRIVED:g} cm at every tick from {DEADLINE:g} s
on. Position, velocity and effort: the largest share of a joint's limit at any physics step; starts and pushes are part
of the episodes, and a randomised motor may be stronger than its limit.

{table}"""


def _rehearsed(row: Rehearsed) -> tuple[str, ...]:
    def share(value: float | None) -> str:
        return "" if value is None else f"{value:.0%}"

    def error(value: float | None, command: float | None, unit: str) -> str:
        relative = f" ({abs(value / command):.0%})" if value is not None and command else ""
        return "" if value is None else f"{value:.2f} {unit}{relative}"

    return (
        row.objective,
        row.worlds,
        f"{row.falls} of {row.episodes}",
        error(row.velocity_error, row.velocity_command, "m/s"),
        error(row.turn_error, row.turn_command, "rad/s"),
        share(row.reached),
        "" if row.reach_s is None else f"{row.reach_s:.2f} s",
        "" if row.distance is None else f"{100 * row.distance:.1f} cm",
        share(row.position_peak),
        share(row.velocity_peak),
        share(row.effort_peak),
    )


def with_section(card: str, title: str, body: str, before: str) -> str:
    """The card with a section of that title, in place of the one it has, or else before the section `before`."""
    parts = card.split("\n## ")
    section = f"{title}\n\n{body.strip()}\n"
    titles = [part.partition("\n")[0] for part in parts]
    if title in titles:
        parts[titles.index(title)] = section
    else:
        place = titles.index(before) if before in titles else len(parts)
        parts.insert(place, section)
    return "\n## ".join(parts)


def _members(manifest: BundleManifest, group: str) -> str:
    return ", ".join(objective.name for objective in manifest.objectives if objective.group == group)


def _joints(manifest: BundleManifest) -> Iterable[tuple[str, ...]]:
    for joint in manifest.contract.joints:
        yield joint.name, *(f"{x:g}" for x in (joint.lower, joint.upper, joint.velocity_limit, joint.effort_limit))


def _randomisation(manifest: BundleManifest) -> str:
    """What differed from world to world in training, with units."""
    ranges = manifest.randomization
    if ranges is None:
        return "None: every world was the model."
    return _table(("what", "from", "to", "unit", "drawn"), _ranges(ranges, manifest.contract))


def _ranges(ranges: Randomization, contract: PolicyContract) -> Iterable[tuple[str, ...]]:
    for name in ("friction", "mass", "actuator_strength"):
        lowest, highest = getattr(ranges, name)
        yield name.replace("_", " "), f"{lowest:g}", f"{highest:g}", "times the model's", f"{ranges.variants} variants"
    delays = (f"{ticks} ({1000.0 * ticks / contract.control_rate:g} ms)" for ticks in ranges.delay)
    yield "delay of commands", *delays, "control ticks", "each episode"
    for source, size in ranges.noise.items():
        yield f"noise of {source}", f"{-size:g}", f"{size:g}", SOURCE_UNITS.get(source, "as the sensor"), "each tick"
    often = f"every {ranges.push_interval:g} s on average"
    yield "push", f"{-ranges.push:g}", f"{ranges.push:g}", "m/s of a floating base, else rad/s of each joint", often
    if ranges.switched:
        share = f"{ranges.switched:.0%} of the episodes"
        yield "start", "home pose", "the midst of another objective", "", share


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
