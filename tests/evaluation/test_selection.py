"""Who is selected from a range of profiles, of which namespaces, in which pages, against plain SQL."""

from __future__ import annotations

from collections import Counter

import pytest
from pyroaring import BitMap

from app.evaluation import batch, schema, selection
from app.evaluation.batch import Job, Outcome
from app.evaluation.dataset import Connection, Dataset
from app.evaluation.engine import Engine
from app.evaluation.layout import SampleLayout
from app.pql import Checked, check, parse
from app.pql.schema import XDMSchema
from tests.evaluation.conftest import AS_OF, NAMESPACE, SPEC

FIELDS = XDMSchema.from_json_schema(
    schema.profile_union(NAMESPACE), schema.event_union(NAMESPACE), lookups=schema.lookups(NAMESPACE)
)
GOLD = f'{NAMESPACE}.loyalty.level in ["gold", "platinum"]'
RULES = {
    GOLD: "SELECT profile_no FROM profiles WHERE loyalty_level IN ('gold', 'platinum')",
    'exists E from xEvent where E.eventType = "commerce.purchases"': """
        SELECT DISTINCT profile_no FROM events WHERE event_type = 'commerce.purchases'""",
    'not (exists E from xEvent where E.eventType = "commerce.purchases")': """
        SELECT profile_no FROM profiles ANTI JOIN
            (FROM events WHERE event_type = 'commerce.purchases') AS e USING (profile_no)""",
    f'exists E from xEvent, I from E.productListItems where I.SKU@{{_xdm.context.product}}.{NAMESPACE}.category = "Gear"': """
        SELECT DISTINCT profile_no FROM items SEMI JOIN (FROM products WHERE category = 'Gear') USING (sku)""",
    "false": "SELECT 1 WHERE false",
}


def checked(rule: str) -> Checked:
    return check(parse(rule), FIELDS)


async def numbers(dataset: Dataset, sql: str) -> set[int]:
    return {number for (number,) in await dataset.run(lambda connection: connection.execute(sql).fetchall())}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("rows", [None, range(1), range(1_000), range(1_500, 2_500), range(SPEC.profiles)])
async def test_members_and_counts_of_a_range_are_those_of_its_profiles(
    dataset: Dataset, rule: str, rows: range | None
) -> None:
    window = range(SPEC.profiles) if rows is None else rows
    expected = {number for number in await numbers(dataset, RULES[rule]) if number in window}
    query = "SELECT DISTINCT profile_no, namespace::VARCHAR FROM identities"
    identities = await dataset.run(lambda connection: connection.execute(query).fetchall())
    by_namespace = Counter(namespace for number, namespace in identities if number in expected)

    def work(connection: Connection) -> Outcome:
        job = Job({"a": checked(rule)}, AS_OF, lambda _: BitMap(), window=rows)
        return batch.evaluate(connection, SampleLayout(NAMESPACE), job)

    outcome = await dataset.run(work)
    assert set(outcome.members["a"]) == expected
    assert outcome.counts["a"].matched == len(expected)
    assert {found.namespace.code: found.profiles for found in outcome.counts["a"].by_namespace} == by_namespace
    assert outcome.profiles == len(window)


async def test_namespaces_carry_the_numbers_of_the_vendor(dataset: Dataset) -> None:
    counts = (await Engine(dataset).result(checked(GOLD), AS_OF)).counts
    assert [found.namespace.number for found in counts.by_namespace] == [4, 6, 7, 10_001_000]


async def test_pages_of_members_join_to_the_whole_without_repetition(dataset: Dataset) -> None:
    engine, expected = Engine(dataset), len(await numbers(dataset, RULES[GOLD]))
    pages = [
        await engine.members(checked(GOLD), AS_OF, offset=offset, limit=100) for offset in range(0, expected + 100, 100)
    ]
    assert [len(page) for page in pages[:-2]] == [100] * (len(pages) - 2)
    assert len({member.profile_id for page in pages for member in page}) == sum(map(len, pages)) == expected
    assert pages[-1] == ()


async def test_pages_of_many_rules_are_each_rule_s_own(dataset: Dataset) -> None:
    engine = Engine(dataset)
    rules = [checked(f"{NAMESPACE}.loyalty.points > {bound}") for bound in range(0, 3_000, 100)]
    first = [await engine.members(rule, AS_OF, limit=3) for rule in rules]
    assert [await engine.members(rule, AS_OF, limit=3) for rule in rules] == first
    assert len(set(first)) > 3


async def test_members_come_with_all_their_identities(dataset: Dataset) -> None:
    for member in await Engine(dataset).members(checked(GOLD), AS_OF, limit=50):
        query = """SELECT namespace::VARCHAR, identity FROM identities JOIN profiles USING (profile_no)
                   WHERE profile_id = ? ORDER BY namespace"""
        found = await dataset.run(lambda connection: connection.execute(query, [member.profile_id]).fetchall())  # noqa: B023
        assert list(member.identities) == found


async def test_a_member_without_identities_is_still_a_member(dataset: Dataset) -> None:
    anonymous = sorted(await numbers(dataset, "SELECT profile_no FROM profiles WHERE namespace_bits = 0"))[:10]
    members = await dataset.run(lambda connection: selection.members(connection, anonymous))
    assert len(members) == len(anonymous) > 0
    assert all(member.identities == () for member in members)
