"""SQL means what the slow evaluator says: the same profiles are selected, on the sample and on hostile rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings

from app import pql
from app.errors import PQLError
from app.evaluation.dataset import Dataset
from app.evaluation.engine import Engine
from app.evaluation.layout import SampleLayout
from app.evaluation.luma import SampleSpec
from app.pql.reference import matches
from app.pql.sql import to_sql
from tests.pql.rules import NAMESPACE, rules
from tests.pql.test_language import SCHEMA

AS_OF = datetime(2025, 11, 24, 12, tzinfo=UTC)
PROFILES = 120


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, object]]]:
    """A small sample, and the same profiles as XDM documents, by number."""
    path = tmp_path_factory.mktemp("agreement") / "luma.duckdb"
    dataset = await Dataset.create(path, NAMESPACE, SampleSpec(profiles=PROFILES, seed=3, as_of=AS_OF))
    engine = Engine(dataset)
    everybody = await engine.members(pql.check(pql.parse("true"), SCHEMA), AS_OF, limit=PROFILES)
    documents = []
    for member in everybody:
        document = await engine.profile(member.profile_id)
        assert document is not None
        documents.append(document)
    await dataset.close()
    return path, documents


@pytest.fixture(scope="module")
def tables(world: tuple[Path, list[dict[str, object]]]) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(world[0]), read_only=True) as connection:
        yield connection


@given(rule=rules)
@example(rule='person.gender != "female"')
@example(rule='not (person.gender = "female")')
@example(rule='person.gender notIn ["female"]')
@example(rule='person.gender.doesNotContain("e")')
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_sql_selects_the_profiles_that_the_reference_accepts(
    world: tuple[Path, list[dict[str, object]]], tables: duckdb.DuckDBPyConnection, rule: str
) -> None:
    checked = pql.check(pql.parse(rule), SCHEMA)
    query = to_sql(checked, SampleLayout(NAMESPACE), AS_OF)
    (found,) = tables.execute(f"SELECT count(*) FROM ({query.sql()})", query.parameters).fetchone() or (None,)
    assert found == sum(matches(checked, document, AS_OF) for document in world[1])


def test_literals_never_reach_the_text_of_the_statement() -> None:
    for word in ("'; DROP TABLE profiles; --", 'x") OR 1=1', "$1", "gold"):
        rule = f"{NAMESPACE}.loyalty.level.contains({_quoted(word)}) or person.gender in [{_quoted(word)}]"
        query = to_sql(pql.check(pql.parse(rule), SCHEMA), SampleLayout(NAMESPACE), AS_OF)
        assert query.parameters == (word, word)
        assert word == "$1" or word not in query.sql()


def test_what_the_tables_do_not_hold_is_refused_with_its_place() -> None:
    with pytest.raises(PQLError) as refusal:
        to_sql(pql.check(pql.parse('inSegment("s1")'), SCHEMA), SampleLayout(NAMESPACE), AS_OF)
    (one,) = refusal.value.diagnostics
    assert one.code == "not-held"
    assert one.span == (0, 15)


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '\\"') + '"'
