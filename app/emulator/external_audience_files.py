"""The uploads of external audiences: CSV files in the state folder, where the real service reads a cloud storage.

    <state folder>/uploads/<organization>/<sandbox>/<path of the source>

The first line names the columns. Only identities reach profiles; the other columns are counted and checked against
the fields, as payload that no rule can ask for.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from app.errors import InvalidRequest

FOLDER: Final = "uploads"
_MAX_FILES: Final = 1000


@dataclass(slots=True)
class Upload:
    """What a run read: how many rows, and the identities by the code of their namespace."""

    records: int = 0
    identities: dict[str, set[str]] = field(default_factory=dict)


def uploads_folder(state_dir: Path, org_id: str, sandbox: str) -> Path:
    """Return where the uploads of a sandbox are looked for."""
    return state_dir / FOLDER / quote(org_id, safe="@") / quote(sandbox, safe="")


def read_uploads(folder: Path, path: str, kind: str, fields: Sequence[Mapping[str, Any]]) -> Upload:
    """Read the file, or every ``.csv`` file of the folder, at ``path``. Blocks.

    Raises InvalidRequest when there is none, when ``path`` leads out of ``folder``, or when a column is missing.
    """
    upload = Upload()
    for file in _files(folder, path, kind):
        _read(file, fields, upload)
    return upload


def _files(folder: Path, path: str, kind: str) -> list[Path]:
    place = (folder / path.lstrip("/")).resolve()
    if not place.is_relative_to(folder.resolve()):
        raise InvalidRequest(f"The path {path!r} leads out of the uploads of this sandbox")
    found = sorted(place.glob("*.csv"))[:_MAX_FILES] if kind == "folder" else [place]
    if not found or not all(file.is_file() for file in found):
        raise InvalidRequest(
            f"There is no {kind} with data at {path!r}",
            hint="Put CSV files below uploads/<organization>/<sandbox> in the emulator's state folder.",
        )
    return found


def _read(file: Path, fields: Sequence[Mapping[str, Any]], upload: Upload) -> None:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            missing = [one["name"] for one in fields if one["name"] not in (rows.fieldnames or [])]
            if missing:
                raise InvalidRequest(f"{file.name} has no column {', '.join(missing)}")
            for row in rows:
                upload.records += 1
                _take_identities(row, fields, upload)
    except (UnicodeDecodeError, csv.Error) as fault:
        raise InvalidRequest(f"{file.name} is no CSV in UTF-8: {fault}") from fault


def _take_identities(row: Mapping[str, Any], fields: Sequence[Mapping[str, Any]], upload: Upload) -> None:
    for one in fields:
        value = (row.get(one["name"]) or "").strip()
        if one.get("identityNs") and value:
            upload.identities.setdefault(one["identityNs"], set()).add(value)
