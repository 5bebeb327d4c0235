"""Deep, long and repetitive rules are refused or read in time that grows with their length; nothing crashes."""

from __future__ import annotations

import time

import pytest

from app import pql
from app.errors import PQLError
from tests.pql.test_every_construct import SCHEMA

POINTS = "_wwfovlab011.loyalty.points"

REFUSED = {
    "parentheses": ("(" * 3_000 + "true" + ")" * 3_000, "too-deep"),
    "negations": ("not " * 3_000 + "true", "too-deep"),
    "filters": ("xEvent" + '[eventType = "a"]' * 1_500 + ".count() > 1", "too-deep"),
    "sums": (POINTS + " + 1" * 5_000 + " > 1", "too-deep"),
    "lists": ("[" * 5_000 + "1" + "]" * 5_000, "too-deep"),
    "length": ('person.gender = "' + "x" * 65_536 + '"', "text-too-long"),
    "length in bytes": ('person.gender = "' + "ü" * 33_000 + '"', "text-too-long"),
}
READ = {
    "conjunction": " and ".join(f"{POINTS} > {number}" for number in range(1_500)),
    "disjunction": " or ".join(f"{POINTS} = {number}" for number in range(1_500)),
    "long list": f"{POINTS} in [{', '.join(map(str, range(7_000)))}]",
    "many filters": "xEvent" + '[eventType = "a"]' * 50 + ".count() > 1",
    "long chain": f"CHAIN(xEvent, timestamp, [{', '.join(f'C{n}: WHAT(true)' for n in range(1_000))}])",
    "many bindings": "exists " + ", ".join(f"E{number} from xEvent" for number in range(800)),
    "names of names": "".join(f"let A{n} = {f'A{n - 1} + A{n - 1}' if n else 1} in " for n in range(60)) + "A59 > 1",
    "many selects": " and ".join(["(select E from xEvent where E.eventType = xEvent.eventType.head())"] * 700),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_rule_beyond_the_limits_is_refused_at_once(name: str) -> None:
    rule, code = REFUSED[name]
    begun = time.process_time()
    with pytest.raises(PQLError) as refusal:
        pql.parse(rule)
    assert refusal.value.diagnostics[0].code == code
    assert time.process_time() - begun < 2


@pytest.mark.parametrize("name", READ)
def test_everything_about_a_long_rule_is_told_in_bounded_time(name: str) -> None:
    begun = time.process_time()
    query = pql.parse(READ[name])
    checked = pql.review(query, SCHEMA)
    assert pql.canonical(query).hash
    assert pql.explain(query)
    assert pql.classify(checked).batch
    assert pql.to_json(query)
    assert not pql.difference(query, query).changes
    assert time.process_time() - begun < 5


def test_many_negations_are_written_as_the_parser_reads_them() -> None:
    query = pql.parse("not " * 60 + "true")
    assert pql.parse(pql.format_query(query)).body == query.body


def test_a_count_below_nothing_is_refused() -> None:
    with pytest.raises(PQLError) as refusal:
        pql.parse("CHAIN(xEvent, timestamp, [A: WHAT(true) COUNT(< 0)])")
    assert refusal.value.diagnostics[0].code == "count-range"
