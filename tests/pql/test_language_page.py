"""The document of the language says what the code says and does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import getmembers, isclass
from pathlib import Path

import pytest

from app import pql
from app.pql import ast, ir
from app.pql.checker import MAX_EXPANDED_NODES
from app.pql.eligibility import ReferencedSegment
from app.pql.functions import FUNCTIONS
from app.pql.lexer import MAX_TEXT_BYTES
from app.pql.parser import MAX_DEPTH
from tests.pql import language_page
from tests.pql.constructs import CONSTRUCTS, MEMBERSHIPS
from tests.pql.language_page import COLUMNS, PROFILES, SEGMENT, Sample, Seen, constructs, functions, replaced, table

BASES = {ast.Node, ast.Expr, ir.Expr, ir.Predicate}
"""Nothing in a tree is of one of these classes itself."""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    made = language_page.open_sample(tmp_path_factory.mktemp("language"))
    yield made
    made.connection.close()


@pytest.fixture(scope="module")
def seen(sample: Sample) -> dict[str, list[Seen]]:
    return constructs(sample)


def test_every_construct_went_through_every_part(seen: dict[str, list[Seen]]) -> None:
    rows = [row for section in seen.values() for row in section]
    assert len(rows) == len(CONSTRUCTS) + len(MEMBERSHIPS)
    assert {row.name: row.cells for row in rows if row.cells != ("yes",) * len(COLUMNS)} == {}


def test_the_rules_of_the_constructs_tell_customers_apart(seen: dict[str, list[Seen]]) -> None:
    rows = [row for section in seen.values() for row in section]
    assert len([row for row in rows if row.matched in {0, PROFILES}]) <= 5


def test_the_committed_table_of_constructs_is_what_happens(seen: dict[str, list[Seen]], repository_root: Path) -> None:
    page = (repository_root / "docs/pql.md").read_text()
    assert replaced(page, "constructs", table(seen)) == page, "run `make language`"


def test_the_committed_functions_are_those_of_the_code(repository_root: Path) -> None:
    page = (repository_root / "docs/pql.md").read_text()
    assert replaced(page, "functions", functions()) == page, "run `make language`"
    assert all(f"`{function.signature}`" in page for function in FUNCTIONS)


def test_a_part_without_its_markers_is_noticed() -> None:
    with pytest.raises(ValueError, match="0 places for functions"):
        replaced("# PQL\n", "functions", "")


def test_an_error_is_shown_in_its_cell(sample: Sample) -> None:
    unknown = language_page.see("x", "nowhere = 1", sample)
    assert unknown.cells == ("yes", "yes", "unknown-field", "unknown-field", "unknown-field")
    assert language_page.see("x", "person.gender =", sample).cells == ("unexpected-token",) * len(COLUMNS)


def test_every_function_is_among_the_constructs() -> None:
    trees = [node for rule in CONSTRUCTS.values() for node in ast.walk(pql.parse(rule).body)]
    called = {node.name for node in trees if isinstance(node, ast.Call | ast.MethodCall)}
    called |= {"filter" for node in trees if isinstance(node, ast.Filter)}
    assert {function.name for function in FUNCTIONS} - called == set()


def test_every_node_of_both_trees_is_among_the_constructs(sample: Sample) -> None:
    written: set[type] = set()
    meant: set[type] = set()
    for rule in CONSTRUCTS.values():
        query = pql.parse(rule)
        written |= {type(node) for node in ast.walk(query.body)}
        meant |= {type(node) for node in ir.walk(pql.check(query, sample.schema).root)}
    # A class as a source belongs to decisioning; what `select` gives has become a test or a count once it is checked.
    assert _nodes(ast, ast.Node) - written == {ast.ClassReference}
    assert _nodes(ir, ir.Expr) - meant == {ir.Invalid, ir.Tuples}


def test_the_rules_on_the_page_are_rules(sample: Sample, repository_root: Path) -> None:
    rules = re.findall(r"^```pql\n(.*?)^```", (repository_root / "docs/pql.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(rules) > 2
    for rule in rules:
        pql.check(pql.parse(rule), sample.schema)


def test_the_page_names_every_reason_against_streaming_and_edge(sample: Sample, repository_root: Path) -> None:
    event = "xEvent[timestamp occurs today].exists()"
    membership = 'segmentMembership.get("AAMSegments").get("1").status = "realized"'
    rules = [*CONSTRUCTS.values(), membership, f"not {event}", f'{event} and inSegment("{SEGMENT}")']
    known = {SEGMENT: ReferencedSegment("streaming")}
    found = {
        reason.code
        for rule in rules
        for reason in pql.classify(pql.check(pql.parse(rule), sample.schema), known).reasons
    }
    section = _section(repository_root, "Streaming, edge, batch")
    named = {
        code for cell in re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE) for code in re.findall(r"`(.*?)`", cell)
    }
    assert named == found


def test_the_page_names_the_limits_of_the_code(repository_root: Path) -> None:
    section = _section(repository_root, "Limits")
    for words in (f"{MAX_TEXT_BYTES // 1024} KB", f"{MAX_DEPTH} levels", f"{MAX_EXPANDED_NODES:,} nodes"):
        assert words in section


def _section(repository_root: Path, title: str) -> str:
    return (repository_root / "docs/pql.md").read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def _nodes(module: object, base: type) -> set[type]:
    return {kind for _, kind in getmembers(module, isclass) if issubclass(kind, base)} - BASES
