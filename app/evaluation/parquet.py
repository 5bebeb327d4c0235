"""JSON lines as Parquet: what exports leave behind, for whoever reads columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

_CONFIG: dict[str, Any] = {"memory_limit": "512MB", "threads": 1, "autoinstall_known_extensions": False}


def write_parquet(lines: Path, target: Path, columns: Sequence[str]) -> None:
    """Write the objects of a file of JSON lines into a Parquet file, one row each, in order. Blocks.

    Types are found out from all rows; objects become structs. Without any rows the file has the named ``columns``, as
    text.
    """
    with duckdb.connect(config={**_CONFIG, "temp_directory": str(target.with_name(target.name + ".spill"))}) as engine:
        if lines.stat().st_size == 0:
            empty = ", ".join(f"NULL::VARCHAR AS {_quoted(one)}" for one in columns)
            source = f"SELECT {empty} WHERE false"
            engine.execute(f"COPY ({source}) TO {_literal(target)} (FORMAT parquet)")
            return
        source = (
            f"SELECT * FROM read_json({_literal(lines)}, format = 'newline_delimited', sample_size = -1, "  # noqa: S608
            "map_inference_threshold = -1)"
        )
        engine.execute(f"COPY ({source}) TO {_literal(target)} (FORMAT parquet, COMPRESSION zstd)")


def _literal(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
