"""`pgx doctor`."""

from __future__ import annotations

import json
import platform
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import tyro

from pgx_core.doctor.examine import Examination, Finding, examine
from pgx_core.files import write_file

WIDTH, INDENT = 98, 20


def main(json_file: Annotated[Path | None, tyro.conf.arg(name="json")] = None, time_limit: float = 120.0) -> None:
    """Say what is installed, try which backends work here, and name what installs the rest.

    The exit status is 0 if training and serving are possible here, else 1.

    Args:
        json_file: write the findings there, too.
        time_limit: of each trial, s; the first use of warp compiles for half a minute.
    """
    print(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}; this takes a minute")
    found = examine(time_limit)
    print("\n".join(table(found)))
    if json_file is not None:
        facts = asdict(found) | {"trains": found.trains, "serves": found.serves}
        write_file(json_file, json.dumps(facts, indent=2) + "\n")
    sys.stdout.flush()
    sys.exit(0 if found.trains and found.serves else 1)


def table(found: Examination) -> Iterator[str]:
    """The findings as lines of at most 98 characters; what works first, the verdict last."""
    yield "\nInstalled"
    for finding in sorted(found.parts, key=lambda finding: not finding.works):
        yield from _row(finding)
    yield "\nBackends, tried by stepping a small suite"
    for finding in found.backends:
        yield from _row(finding)
    yield "\nIn short"
    yield from _verdict("training", found.trains, [f for f in found.parts if f.needed == "train"], found)
    yield from _verdict("serving", found.serves, [f for f in found.parts if f.needed == "serve"], found)


def _row(finding: Finding) -> Iterator[str]:
    text = f"{finding.detail}: {finding.remedy}" if finding.remedy else finding.detail
    mark = "yes" if finding.works else "no"
    start = f"  {finding.name:<13}{mark:<5}"
    yield from textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=" " * INDENT, break_on_hyphens=False)


def _verdict(what: str, possible: bool, parts: list[Finding], found: Examination) -> Iterator[str]:
    if possible:
        yield f"  {what:<13}yes"
        return
    broken = [part for part in parts if not part.works] or [f for f in found.backends if f.name == "mujoco"]
    remedies = dict.fromkeys(part.remedy for part in broken)
    yield f"  {what:<13}no   {'; '.join(remedies)}"
    if any("constraints.txt" in remedy for remedy in remedies):
        yield f"  {'':<13}     (in the clone of pgx: constraints.txt holds the versions that were tested)"
