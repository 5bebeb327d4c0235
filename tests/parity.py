"""The parity ledger: which behaviour of AEP the emulator and the facade copy, and how each of them is known.

A test that pins a behaviour of AEP carries a marker::

    @pytest.mark.parity("segment_definitions.duplicate_name_is_422", source="documents")
    @pytest.mark.parity("ims.multipart_form", source="measured", note="@adobe/aio-lib-ims 8.1.1")

``python -m tests.parity`` collects every test and writes ``docs/parity.md`` anew.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

PAGE: Final = Path(__file__).parents[1] / "docs/parity.md"

SOURCES: Final[Mapping[str, str]] = {
    "openapi": "Adobe's machine-readable description of the API states it.",
    "documents": "Adobe's documentation for people states it, in words or in a sample.",
    "measured": (
        "A client that we did not write was run unmodified and works only, or is shown to work, when the service "
        "behaves so. It says what clients accept, not what Adobe's service was seen to answer."
    ),
    "assumed": (
        "No source says it, or the sources contradict each other; it is what we would expect. "
        "Do not rely on it before you have seen it at Adobe."
    ),
}

_NAME = re.compile(r"[a-z][a-z0-9_]*\.[a-z0-9][a-z0-9_]*")

_HEAD = """# Parity with AEP

Which behaviours of Adobe Experience Platform the emulator and the gateway's facade copy, which test pins each one, and
how we know it. The page is written from the markers of the tests by `make parity`; a test fails when it is out of
date. What has no row here is not pinned by a test.

Nothing on this page is a recording of Adobe's service: no row says more than its source does. The contract suite
(`tests/contract`) can be pointed at Adobe to check the rows that it pins; see [the emulator](emulator.md).

"""


class ParityError(Exception):
    """A marker that the ledger cannot take."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One marker on one test. ``behaviour`` reads ``area.what_happens``."""

    behaviour: str
    source: str
    note: str
    test: str

    @property
    def area(self) -> str:
        return self.behaviour.partition(".")[0]


def claims_of(item: pytest.Item) -> Iterable[Claim]:
    """Yield what the markers of a test claim. Raises ParityError for a marker that says it wrongly."""
    test = item.nodeid.partition("[")[0]
    for mark in item.iter_markers("parity"):
        if len(mark.args) != 1 or not _NAME.fullmatch(str(mark.args[0])):
            raise ParityError(f'{test}: parity wants one name "area.behaviour" in lower case, not {mark.args}')
        unknown = set(mark.kwargs) - {"source", "note"}
        if unknown or mark.kwargs.get("source") not in SOURCES:
            raise ParityError(f"{test}: parity wants source= one of {', '.join(SOURCES)} (and perhaps note=)")
        yield Claim(mark.args[0], mark.kwargs["source"], mark.kwargs.get("note", ""), test)


def page(claims: Iterable[Claim]) -> str:
    """Return the ledger as Markdown, in an order that does not depend on the order of the tests.

    Raises ParityError when two tests give one behaviour different sources.
    """
    rows: dict[str, set[Claim]] = defaultdict(set)
    for claim in claims:
        rows[claim.behaviour].add(claim)
    for behaviour, found in rows.items():
        if len({claim.source for claim in found}) > 1:
            raise ParityError(f"{behaviour} has several sources: {', '.join(sorted(claim.test for claim in found))}")
    parts = [_HEAD, _legend(rows), *(_area(area, rows) for area in sorted({name.partition(".")[0] for name in rows}))]
    return "".join(parts).rstrip() + "\n"


def _legend(rows: Mapping[str, set[Claim]]) -> str:
    lines = ["| source | behaviours | what it means |", "|---|---|---|"]
    for source, meaning in SOURCES.items():
        count = sum(next(iter(found)).source == source for found in rows.values())
        lines.append(f"| {source} | {count} | {meaning} |")
    return "\n".join(lines) + "\n\n"


def _area(area: str, rows: Mapping[str, set[Claim]]) -> str:
    lines = [f"## {area.replace('_', ' ')}", "", "| behaviour | source | test |", "|---|---|---|"]
    for behaviour in sorted(name for name in rows if name.partition(".")[0] == area):
        found = sorted(rows[behaviour], key=lambda claim: claim.test)
        notes = sorted({claim.note for claim in found if claim.note})
        source = found[0].source + (f" ({'; '.join(notes)})" if notes else "")
        words = behaviour.partition(".")[2].replace("_", " ")
        tests = "<br>".join(f"`{claim.test.removeprefix('tests/')}`" for claim in found)
        lines.append(f"| {words} | {source} | {tests} |")
    return "\n".join(lines) + "\n\n"


class _Collector:
    def __init__(self) -> None:
        self.claims: list[Claim] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.claims = [claim for item in session.items for claim in claims_of(item)]


def collect() -> list[Claim]:
    """Collect every test of the repository, without running any, and return their claims."""
    collector = _Collector()
    tests = str(PAGE.parents[1] / "tests")
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = pytest.main(["--collect-only", "-qq", tests], plugins=[collector])
    if code != pytest.ExitCode.OK:
        raise ParityError(f"the tests cannot be collected:\n{said.getvalue()}")
    return collector.claims


def main(arguments: list[str]) -> int:
    """Write the page, or print it with ``--print``."""
    try:
        text = page(collect())
    except ParityError as problem:
        print(problem, file=sys.stderr)
        return 1
    if "--print" in arguments:
        print(text, end="")
    else:
        PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
