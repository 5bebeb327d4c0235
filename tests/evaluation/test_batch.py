"""A batch finds for every rule what the rule finds alone and what the reference says, whatever the rules share."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from app.errors import InvalidRequest
from app.evaluation import documents, schema, statements
from app.evaluation.batch import columns, families, formulas, job
from app.evaluation.batch.formulas import All, Atom, Atoms, Fixed, Negation, Segment, Some
from app.evaluation.batch.ordering import ordered
from app.evaluation.dataset import Dataset
from app.evaluation.engine import Engine
from app.evaluation.layout import SampleLayout
from app.pql import Checked, check, parse, to_sql
from app.pql.reference import matches
from app.pql.schema import XDMSchema
from benchmarks.definitions import definitions
from tests.evaluation.conftest import AS_OF, NAMESPACE, SPEC
from tests.pql.rules import rules as generated_rules

FIELDS = XDMSchema.from_json_schema(
    schema.profile_union(NAMESPACE), schema.event_union(NAMESPACE), lookups=schema.lookups(NAMESPACE)
)
LEVEL, POINTS = f"{NAMESPACE}.loyalty.level", f"{NAMESPACE}.loyalty.points"
JUDGED = 150


def checked(rule: str) -> Checked:
    return check(parse(rule), FIELDS)


@pytest.fixture(scope="module")
def engine(dataset: Dataset) -> Engine:
    return Engine(dataset)


@pytest.fixture(scope="module")
async def profiles(dataset: Dataset) -> dict[int, dict[str, Any]]:
    return await dataset.run(lambda connection: documents.profiles(connection, NAMESPACE, range(JUDGED)))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(texts=st.lists(generated_rules, min_size=1, max_size=25))
def test_batch_and_single_and_reference_agree(
    engine: Engine, profiles: dict[int, dict[str, Any]], texts: list[str], event_loop_runner: asyncio.Runner
) -> None:
    rules = {str(number): checked(text) for number, text in enumerate(texts)}

    async def both() -> None:
        outcome = await engine.evaluate(rules, AS_OF)
        for key, rule in rules.items():
            alone = await engine.result(rule, AS_OF)
            assert outcome.members[key] == alone.members, texts[int(key)]
            assert outcome.counts[key] == alone.counts, texts[int(key)]
            judged = {number for number, profile in profiles.items() if matches(rule, profile, AS_OF)}
            assert set(outcome.members[key] & BitMap(range(JUDGED))) == judged, texts[int(key)]

    event_loop_runner.run(both())


@pytest.fixture(scope="module")
def event_loop_runner() -> Any:
    with asyncio.Runner() as runner:
        yield runner


TEXTS = [
    f'{LEVEL} = "gold"',
    f'not ({LEVEL} in ["gold", "platinum"])',
    f"{POINTS} > 900",
    f'{POINTS} <= 2500 and {LEVEL} != "silver"',
    'homeAddress.countryCode = shippingAddress.countryCode or person.gender = "female"',
    'exists E from xEvent where E.eventType = "commerce.purchases"',
    f'(P) => P.{LEVEL} = "gold" and not (exists X from P.xEvent where X.eventType = "commerce.purchases")',
    'personalEmail.address.endsWith("example.org")',
    f'{LEVEL} = "gold" or inSegment("2")',
    'not inSegment("8") and inSegment("stored")',
    "true",
    "false",
]


@pytest.mark.parametrize("size", [None, 700])
async def test_ranges_of_profiles_add_up(dataset: Dataset, monkeypatch: pytest.MonkeyPatch, size: int | None) -> None:
    if size:
        starts = range(0, SPEC.profiles, size)
        cut = [range(start, min(start + size, SPEC.profiles)) for start in starts]
        monkeypatch.setattr(job, "_ranges", lambda window: cut)
    rules = {str(number): checked(text) for number, text in enumerate(TEXTS)}
    stored = BitMap(range(0, SPEC.profiles + 500, 3))
    engine = Engine(dataset, stored=lambda segment_id: stored.copy())
    outcome = await engine.evaluate(rules, AS_OF)
    alone = {key: (await engine.result(rules[key], AS_OF)).members for key in map(str, range(8))}
    everybody = BitMap(range(SPEC.profiles))
    assert {key: outcome.members[key] for key in alone} == alone
    assert outcome.members["8"] == alone["0"] | alone["2"]
    assert outcome.members["9"] == (stored - outcome.members["8"]) & everybody
    assert (outcome.members["10"], outcome.members["11"]) == (everybody, BitMap())
    assert outcome.profiles == SPEC.profiles
    assert {key: counts.matched for key, counts in outcome.counts.items()} == {
        key: len(members) for key, members in outcome.members.items()
    }
    # What two rules share is one atom, and true and false are none.
    assert outcome.atoms == 9


async def test_tests_that_tell_many_values_apart_are_split(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "_MAX_SIGNATURES", 4)
    monkeypatch.setattr(columns, "_TESTS_PER_SIGNATURE", 20)
    rules = {str(bound): checked(f"{POINTS} > {bound}") for bound in range(0, 5_000, 100)}
    outcome = await engine.evaluate(rules, AS_OF)
    for key, rule in rules.items():
        assert outcome.members[key] == (await engine.result(rule, AS_OF)).members


async def test_progress_goes_from_atoms_to_rules_on_the_event_loop(engine: Engine) -> None:
    seen: list[tuple[int, int]] = []
    threads: set[int] = set()

    def note(done: int, total: int) -> None:
        seen.append((done, total))
        threads.add(threading.get_ident())

    await engine.evaluate({"a": checked(TEXTS[0]), "b": checked(TEXTS[2])}, AS_OF, on_progress=note)
    await asyncio.sleep(0)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert threads == {threading.get_ident()}


async def test_nothing_to_evaluate_is_no_fault(engine: Engine) -> None:
    outcome = await engine.evaluate({}, AS_OF)
    assert (outcome.profiles, outcome.counts, outcome.members) == (SPEC.profiles, {}, {})


async def test_segments_that_use_each_other_in_a_circle_are_refused(engine: Engine) -> None:
    texts = {"a": 'inSegment("b")', "b": 'not inSegment("c") or true', "c": f'{POINTS} > 1 and inSegment("a")'}
    with pytest.raises(InvalidRequest, match=r"in a circle: (a -> b -> c -> a|b -> c -> a -> b|c -> a -> b -> c)\."):
        await engine.evaluate({key: checked(text) for key, text in texts.items()}, AS_OF)


async def test_a_cancelled_batch_has_ended_when_the_caller_goes_on(
    engine: Engine, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def combine(*_: Any) -> BitMap:
        loop.call_soon_threadsafe(begun.set)
        ended.wait(0.01)
        return BitMap()

    monkeypatch.setattr(formulas, "members", combine)
    rules = {str(number): checked(TEXTS[0]) for number in range(100_000)}
    running = asyncio.create_task(engine.evaluate(rules, AS_OF))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    ended.set()


# Formulas


def test_rules_are_taken_apart_down_to_what_stands_alone() -> None:
    atoms = Atoms()
    text = f'({LEVEL} = "gold" or not inSegment("x")) and true and {POINTS} > 5'
    assert atoms.formula(checked(text)) == All((Some((Atom(0), Negation(Segment("x")))), Fixed(value=True), Atom(1)))


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (f'{LEVEL} = "gold"', f'(P) => P.{LEVEL}   =   "gold"', True),
        ("exists E from xEvent where E.eventType = $1.person.gender",) * 2 + (True,),
        (
            'exists E from xEvent where E.eventType = "a" and E.channel.typeAtSource = "web"',
            'exists F from xEvent where F.eventType = "a" and F.channel.typeAtSource = "web"',
            True,
        ),
        (f"{POINTS} > 1", f"{POINTS} > 1.0", False),
        (f"{POINTS} > 1", f"{POINTS} >= 1", False),
        (f'{LEVEL}.equals("gold")', f'{LEVEL}.equals("gold", false)', False),
        (
            "exists E from xEvent, F from xEvent where E.timestamp > F.timestamp",
            "exists F from xEvent, E from xEvent where E.timestamp > F.timestamp",
            False,
        ),
    ],
)
def test_atoms_are_one_when_they_mean_the_same(left: str, right: str, same: bool) -> None:
    atoms = Atoms()
    assert (atoms.formula(checked(left)) == atoms.formula(checked(right))) is same


def test_users_come_after_what_they_use() -> None:
    order = ordered(
        {"a": All((Segment("b"), Segment("elsewhere"))), "b": Negation(Segment("c")), "c": Fixed(value=True)}
    )
    assert order == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("rule", "column"),
    [
        (f'{LEVEL} = "gold"', "loyalty_level"),
        (f"{POINTS} + 1 > {POINTS} * 0.5", "loyalty_points"),
        (f"{NAMESPACE}.loyalty.joinDate occurs <= 30 days before now", "loyalty_joined_at"),
        ("homeAddress.city = shippingAddress.city", None),
        ("exists E from xEvent where E.channel.typeAtSource = homeAddress.city", None),
        (f'{NAMESPACE}.loyalty.perks.includes("lounge")', None),
        ("currentMonth() = 3", None),
    ],
)
def test_what_reads_one_column_is_known(rule: str, column: str | None) -> None:
    assert columns.column_of(checked(rule), SampleLayout(NAMESPACE)) == column


RECENT = 'xEvent[eventType = "commerce.purchases" and timestamp occurs <= 90 days before now]'
BOUGHT = 'exists E from xEvent where E.eventType = "commerce.purchases" and E.timestamp occurs <= {} days before now'
FAMILIES = [
    *(BOUGHT.format(days) for days in (1, 30, 30, 90, 365)),
    *(f'{BOUGHT.format(30)}, I from E.productListItems where I.SKU = "{sku}"' for sku in ("WJ01", "GB01", "nothing")),
    *(f'{BOUGHT.format(days)}, I from E.productListItems where I.SKU = "WJ01"' for days in (60, 365)),
    *(
        f"{BOUGHT.format(days)}, I from E.productListItems where I.SKU@{{_xdm.context.product}}.{NAMESPACE}.category = "
        f'"{category}"'
        for days in (30, 365)
        for category in ("Gear", "Men")
    ),
    *(f"{RECENT}.sum(commerce.order.priceTotal) > {bound}" for bound in (-5, 0, 50, 200.5)),
    *(f"{RECENT}.sum(commerce.order.priceTotal) >= {bound}" for bound in (50, 200)),
    *(f"{RECENT}.count() >= {bound}" for bound in (0, 1, 2, 5)),
    *(f"{RECENT}.count() < {bound}" for bound in (1, 2)),
    *(f"{RECENT}.max(commerce.order.priceTotal) > {bound}" for bound in (50, 200)),
    *(f'exists E from xEvent where E.channel.typeAtSource = "{channel}"' for channel in ("web", "point of sale")),
    *(f'exists E from xEvent where E.web.webPageDetails.name = "{page}"' for page in ("home", "cart")),
    *(f"exists E from xEvent where E.timestamp occurs after date(2025, {month}, 1)" for month in (6, 7)),
]


@pytest.mark.parametrize("groups", [256, 3])
async def test_statements_that_differ_in_constants_are_read_once_and_agree(
    dataset: Dataset, engine: Engine, profiles: dict[int, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, groups: int
) -> None:
    monkeypatch.setattr(families, "_MAX_GROUPS", groups)
    records = await dataset.run(lambda connection: documents.lookup_records(connection, NAMESPACE))
    rules = {str(number): checked(text) for number, text in enumerate(FAMILIES)}
    outcome = await engine.evaluate(rules, AS_OF)
    for key, rule in rules.items():
        assert outcome.members[key] == (await engine.result(rule, AS_OF)).members, FAMILIES[int(key)]
        judged = {number for number, profile in profiles.items() if matches(rule, profile, AS_OF, records=records)}
        assert set(outcome.members[key] & BitMap(range(JUDGED))) == judged, FAMILIES[int(key)]


def test_what_differs_in_constants_only_is_one_family() -> None:
    layout = SampleLayout(NAMESPACE)
    atoms = Atoms()
    for text in FAMILIES:
        atoms.formula(checked(text))
    plans = {number: statements.plan(to_sql(atom, layout, AS_OF)) for number, atom in enumerate(atoms.rules)}
    found, alone = families.families(plans)
    assert sorted(len(family.members) for family in found) == [2, 2, 2, 2, 2, 3, 3, 4, 4, 5]
    assert len(alone) == len(atoms.rules) - sum(len(family.members) for family in found)


async def test_definitions_of_every_kind_agree(engine: Engine, dataset: Dataset) -> None:
    rules = {key: checked(text) for key, text in definitions(160).items()}
    outcome = await engine.evaluate(rules, AS_OF)
    single = Engine(dataset, stored=lambda segment_id: outcome.members[segment_id])
    for key, rule in rules.items():
        alone = await single.result(rule, AS_OF)
        assert (outcome.members[key], outcome.counts[key]) == (alone.members, alone.counts)


async def test_a_membership_by_its_path_is_the_stored_one(dataset: Dataset) -> None:
    stored = BitMap(range(0, SPEC.profiles, 3))
    engine = Engine(dataset, stored=lambda _segment_id: stored.copy())
    rule = 'segmentMembership.get("ups").get("x").status in ["realized", "existing"]'
    assert await engine.count(checked(rule), AS_OF) == len(stored)
