"""Add what was measured of a bundle to it after it was written."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pgx_core.export.card import file_table, rehearsal_section, switch_section, with_section
from pgx_core.files import atomic_folder
from pgx_core.records import to_json
from pgx_core.serving.bundle import verify_bundle
from pgx_core.serving.manifest import CARD_FILE, MANIFEST_FILE, encode_manifest, sha256
from pgx_core.serving.rehearsal import REHEARSAL_FILE, Rehearsal
from pgx_core.serving.switches import SWITCHES_FILE, SWITCHES_PICTURE, SwitchMatrix, encode_switches


def write_switches(folder: Path, matrix: SwitchMatrix, picture: bytes) -> Path:
    """Put a switch matrix, its picture and its section of the card into a bundle, in place of older ones.

    The bundle is whole at every moment, the old one or the new one, where `atomic_folder` can exchange folders.

    Args:
        folder: the bundle.
        matrix: of all its objectives.
        picture: the heat map, PNG.

    Returns:
        The bundle's absolute path.

    Raises:
        BundleError: the bundle fails verification, or the matrix is not of its objectives.
        RunError: the disk is full, or the folder cannot be written.
    """
    files = {SWITCHES_FILE: encode_switches(matrix).encode(), SWITCHES_PICTURE: picture}
    return _amend(folder, files, "Switches", switch_section(matrix))


def write_rehearsal(folder: Path, rehearsal: Rehearsal) -> Path:
    """Put the rehearsal's figures and their section of the card into a bundle, in place of older ones.

    Returns:
        The bundle's absolute path.

    Raises:
        BundleError: the bundle fails verification.
        RunError: the disk is full, or the folder cannot be written.
    """
    return _amend(folder, {REHEARSAL_FILE: to_json(rehearsal).encode()}, "Rehearsal", rehearsal_section(rehearsal))


def _amend(folder: Path, added: Mapping[str, bytes], title: str, section: str) -> Path:
    folder = Path(folder).resolve()
    manifest = verify_bundle(folder)
    with atomic_folder(folder) as draft:
        shutil.copytree(folder, draft, dirs_exist_ok=True)
        for name, content in added.items():
            (draft / name).write_bytes(content)
        files = {path.relative_to(draft).as_posix(): path for path in sorted(draft.rglob("*")) if path.is_file()}
        sums = {name: sha256(path.read_bytes()) for name, path in files.items() if name != MANIFEST_FILE}
        listed = {name: digest for name, digest in sums.items() if name != CARD_FILE}
        card = with_section((draft / CARD_FILE).read_text(), title, section, before="Limits")
        card = with_section(card, "Files", file_table(listed), before="Licence")
        (draft / CARD_FILE).write_text(card)
        sums[CARD_FILE] = sha256(card.encode())
        (draft / MANIFEST_FILE).write_text(encode_manifest(replace(manifest, files=sums)))
        verify_bundle(draft)
    return folder
