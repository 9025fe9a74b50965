"""What the benchmarks share."""

from __future__ import annotations

import json
from pathlib import Path


def write_json(path: Path | None, figures: dict[str, object]) -> None:
    """Write the figures where `--json` asks for it."""
    if path:
        path.write_text(json.dumps(figures, indent=2) + "\n")
