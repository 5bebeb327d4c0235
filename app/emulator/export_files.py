"""What an export writes: Parquet, as the real service does, and JSON lines, in a folder for each data set.

Each profile is a row and a line. The files appear under their names when they are complete, the lines last: where they
are, both are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote

import msgspec

from app.evaluation.parquet import write_parquet

FOLDER: Final = "exports"
_ENCODER = msgspec.json.Encoder()

Document = dict[str, Any]


class ExportFile:
    """One batch of an export, while it is being written. Its methods block."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._temporary = path.with_name(f".{path.name}.part")
        self._file: BinaryIO | None = None

    def append(self, documents: Iterable[Document]) -> None:
        """Write profiles at the end."""
        if self._file is None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._file = os.fdopen(descriptor, "wb")
        self._file.write(_ENCODER.encode_lines(list(documents)))

    def finish(self, columns: Sequence[str]) -> None:
        """Put both files in their places, on disk. ``columns`` are those of a Parquet file without rows."""
        self.append([])
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            parquet = self._temporary.with_suffix(".parquet.part")
            write_parquet(self._temporary, parquet, columns)
            parquet.replace(self.path.with_suffix(".parquet"))
            self._temporary.replace(self.path)

    def discard(self) -> None:
        """Remove what was written so far."""
        if self._file is not None:
            self._file.close()
        for left in (self._temporary, self._temporary.with_suffix(".parquet.part")):
            left.unlink(missing_ok=True)


def batch_path(state_dir: Path, org_id: str, sandbox: str, dataset_id: str, batch_id: str) -> Path:
    """Return where a batch is written. A data set id is any text, so it is escaped."""
    return folder(state_dir, org_id, sandbox) / _escaped(dataset_id) / f"{batch_id}.jsonl"


def folder(state_dir: Path, org_id: str, sandbox: str) -> Path:
    """Return where the exports of a sandbox are."""
    return state_dir / FOLDER / quote(org_id, safe="@") / quote(sandbox, safe="")


def selected(document: Mapping[str, Any], fields: Sequence[str]) -> Document:
    """Return the members of a profile that ``fields`` (dotted paths) name; all but its events when there are none.

    ``identities`` stands for the identity map as a list of ``{namespace: {code}, id}``, as the service exports it.
    """
    if not fields:
        return {name: value for name, value in document.items() if name != "xEvent"}
    source = {**document, "identities": _identities(document)}
    result: Document = {}
    for path in fields:
        _copy(source, result, path.split("."))
    return result


def selected_events(
    document: Mapping[str, Any], fields: Sequence[str], begin: str | None, end: str | None
) -> list[Document]:
    """Return the events of a profile from ``begin`` up to ``end`` (ISO 8601 in UTC), with the members of ``fields``."""
    found = []
    for event in document.get("xEvent", []):
        moment = event.get("timestamp", "")
        if (begin is None or moment >= begin) and (end is None or moment < end):
            found.append(selected(event, fields))
    return found


def _identities(document: Mapping[str, Any]) -> list[Document]:
    return [
        {"namespace": {"code": code}, "id": identity["id"]}
        for code, identities in document.get("identityMap", {}).items()
        for identity in identities
    ]


def _copy(source: Any, target: Document, steps: list[str]) -> None:
    step, following = steps[0], steps[1:]
    if not isinstance(source, Mapping) or step not in source:
        return
    value = source[step]
    if not following:
        target[step] = value
    elif isinstance(value, list):
        kept = target.setdefault(step, [{} for _ in value])
        for inner, place in zip(value, kept, strict=True):
            _copy(inner, place, following)
    else:
        _copy(value, target.setdefault(step, {}), following)


def _escaped(text: str) -> str:
    # A name of dots would be a step up; nothing else that quote leaves alone is special to a file system.
    return quote(text, safe="").replace(".", "%2E")[:200]
