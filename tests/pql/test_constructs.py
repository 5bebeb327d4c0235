"""Every construct of the language, by name: the statement selects the profiles that the slow evaluator says match."""

from __future__ import annotations

from datetime import UTC
from functools import cache
from zoneinfo import ZoneInfo

import pytest

from app.pql.sql import to_sql
from tests.pql.world import BERLIN, NOW, World, WorldLayout, check, hostile_profiles, make_world


@cache
def world() -> World:
    """Profiles enough that most rules hold for some and not for others."""
    return make_world(hostile_profiles(150, seed=11), seed=11)


CONSTRUCTS = {
    "equals": 'level = "gold"',
    "differs": 'level != "gold"',
    "less": "points < 250",
    "two fields": "name = level",
    "strings in order": 'name >= "a"',
    "long against double": "points > 0.5",
    "Boolean": "active",
    "Boolean literal": "active = false",
    "and, or, not": 'not (level = "gold" or active) and points >= 0',
    "in": 'level in ["gold", "silver"]',
    "not in": 'level notIn ["gold", "silver"]',
    "in nothing": "level in []",
    "not in nothing": "level notIn []",
    "in numbers": "points in [0, 1, 250]",
    "array in": 'perks in ["gold"]',
    "value in a field": "level in perks",
    "value not in a field": "level notIn perks",
    "starts with": 'name.startsWith("go", false)',
    "does not start with": 'name.doesNotStartWith("go")',
    "ends with": 'name.endsWith("LD", false)',
    "does not end with": 'name.doesNotEndWith("ld")',
    "contains": 'name.contains("%")',
    "does not contain": 'name.doesNotContain("a")',
    "equals in any case": 'name.equals("GOLD", false)',
    "not equal to": 'name.notEqualTo("gold", false)',
    "compares with a field": "name.contains(level)",
    "folds letters": 'name.equals("STRASSE", false) or name.equals("É", false) or name.equals("straẞe", false)',
    "like": 'name like "%o%"',
    "like one letter": 'name like "a_b"',
    "like an escaped wildcard": 'name like "\\\\%" or name like "a\\\\_b"',
    "like a backslash": 'name like "\\\\"',
    "like a field": "name like level",
    "matches": 'name.matches("^g.l")',
    "matches in any case": 'name.matches("(?i)GOLD")',
    "group of a pattern": 'name.regexGroup("(g|s)(.)", 2) = "o"',
    "group that may be missing": 'name.regexGroup("(g)?o", 1).isNull()',
    "string compare": 'stringCompare("contains", name, ["o", "%"], false)',
    "string compare, none": 'stringCompare("doesNotContain", name, ["o", "%"])',
    "null": "level.isNull()",
    "not null": "address.since.isNotNull()",
    "null object": "address.isNull()",
    "null array": "perks.isNull()",
    "null map": "visits.isNull()",
    "empty array is no null": "perks.isNotNull() and perks.count() = 0",
    "sum of numbers": "points + bonus > 100",
    "difference": "points - bonus < 0",
    "product beyond 64 bits": "(points * bonus).isNull()",
    "quotient": "points / bonus > 10",
    "quotient by zero": "(spend / bonus).isNull()",
    "remainder": "points % bonus = 1",
    "remainder of doubles": "spend % 5.0 = 2.75",
    "infinite": "(spend * spend).isNull()",
    "infinite on the way": "(1.0 / (spend * spend)).isNull()",
    "negation": "-bonus < -1",
    "if": 'if(active, level, name) = "gold"',
    "if of numbers": "if(points > 0, bonus, spend) > 2",
    "if of objects": 'if(active, homes.get("a"), homes.get("b")).city = "gold"',
    "if of arrays": 'if(active, perks, wishes).includes("gold")',
    "let": "let B = points + bonus in B > 0 and B < 1000",
    "let of an array": 'let G = perks[this = "gold"] in G.count() = 1 or G.count() = 2',
    "let of a select": 'let S = (select E from xEvent where E.eventType = "buy") in S.count() = 2 or S.count() = 3',
    "object": 'let O = {"a": points, "b": level} in O.a > 0 and O.b = "gold"',
    "lambda": '(P) => P.level = "gold"',
    "parameter": '$1.level = "gold"',
    # Arrays
    "includes": 'perks.includes("gold")',
    "intersects": "perks.intersects(wishes)",
    "intersects constants": 'perks.intersects(["gold", "none"])',
    "subset": "perks.subsetOf(wishes)",
    "superset": 'perks.supersetOf(["gold"])',
    "intersection": "perks.intersection(wishes).count() = 1",
    "null intersection": "perks.intersection(wishes).isNull()",
    "distinct": "perks.distinct().count() < perks.count()",
    "same list": "perks = wishes",
    "different list": "perks != wishes",
    "list literal": 'perks = ["gold", "silver"]',
    "head": 'perks.head() = "gold"',
    "top": "scores.topN(this, 2).sum() > 4",
    "bottom": "scores.bottomN(this, 1).head() = 0",
    "top of events": "xEvent.topN(timestamp, 2).count() = 2 and xEvent.topN(timestamp, 1).head().value > 0",
    "top with missing keys": 'xEvent.topN(value, 3)[eventType = "buy"].count() >= 1',
    "item of the first event": 'xEvent.bottomN(timestamp, 1).head().items[SKU = "A"].count() > 0',
    "filter": 'xEvent[eventType = "buy"].count() > 1',
    "filter in a filter": "xEvent[items[quantity > 1].count() > 0].count() > 0",
    "climb": 'xEvent[items[SKU = "A" and ^.eventType = "buy" and ^^.level.isNotNull()].count() > 0].count() > 0',
    "this": 'perks[this = "gold"].count() > 0',
    "map": "xEvent.map(value).count() > 1",
    "map keeps nulls": "xEvent.map(value).count() = xEvent.count() and xEvent.value.count() < xEvent.count()",
    "map of objects": 'xEvent.map({"t": eventType, "v": value}).topN(v, 1).head().t = "buy"',
    "exists": 'xEvent.exists(eventType = "buy")',
    "exists without a condition": "xEvent.exists()",
    "forall": "xEvent.forall(value >= 0)",
    "projection": 'xEvent.items.SKU = "A"',
    "projection differs": 'xEvent.items.SKU != "A"',
    "projection in": 'xEvent.items.SKU in ["A", "B"]',
    "projection of strings": 'xEvent.web.page.contains("o")',
    "projection is null": "xEvent.items.SKU.isNull()",
    "projection of objects": "xEvent.web.count() > 1",
    "object as an array": 'address[city = "gold"].count() = 1',
    "array as a condition": "xEvent and perks",
    # Aggregates
    "count": "xEvent.count() > 2",
    "sum": "xEvent.sum(value) > 50",
    "sum of nothing": "xEvent.sum(value) = 0",
    "sum of longs": "scores.sum() > 2",
    "sum beyond 64 bits": "(scores.sum() + scores.sum()).isNull()",
    "average": "xEvent.average(value) < 10",
    "min": "xEvent.min(timestamp) occurs <= 30 days before now",
    "max": "xEvent.max(count) >= 7",
    "max of strings": 'perks.max() = "silver"',
    "sum over": '(sum I.quantity over E from xEvent where E.eventType = "buy", I from E.items) > 2',
    "average over": "(average E.value over E from xEvent) > 0",
    "two counts": "xEvent.count() > perks.count()",
    "count in a filter": "xEvent[items.count() = 2].count() >= 1",
    # Tuples
    "select": 'select E from xEvent where E.eventType = "buy", I from E.items where I.quantity > 1',
    "select count": '(select E from xEvent where E.eventType = "buy").count() > 1',
    "select in select": "select E from xEvent where (select I from E.items where I.quantity > 1)",
    "same thing twice": (
        'select E1 from xEvent where E1.eventType = "buy", I1 from E1.items,'
        ' E2 from xEvent where E2.eventType = "buy" and E2 != E1 and E2.timestamp occurs <= 30 days after E1.timestamp,'
        " I2 from E2.items where I2.SKU = I1.SKU"
    ),
    "same event": "(select E from xEvent, F from xEvent where E = F).count() > 2",
    "exists quantifier": 'exists E from xEvent where E.eventType = "view"',
    "forall quantifier": 'forall E from xEvent where E.eventType != "view"',
    "forall of tuples": 'forall E from xEvent where E.eventType = "buy", I from E.items where I.quantity >= 1',
    "older quantifiers": 'none E from xEvent where E.eventType = "buy"',
    "exactly one": 'one E from xEvent where E.eventType = "buy"',
    "colon": 'exists E from xEvent : E.eventType = "cart"',
    "profile field in a where": "exists E from xEvent where points > E.count",
    "repeated fields": 'exists E from xEvent where E.eventType = "buy" and E.timestamp occurs <= 7 days before now, I from E.items where I.SKU = "A"',
    # Maps
    "get": 'visits.get("x") > 1',
    "get by a field": "visits.get(level).isNull()",
    "key as a path": "visits.x > 1",
    "get an object": 'homes.get("a").city = "gold"',
    "get an array": 'identityMap.get("Email").exists(primary)',
    "get of a map of maps": 'segmentMembership.get("ups").get("s1").status = "realized"',
    "keys": 'visits.keys().includes("x")',
    "keys of maps": 'segmentMembership.get("ups").keys().count() = 2',
    "values": "visits.values().max() > 2",
    "values of objects": 'homes.values().exists(city = "gold")',
    "values of arrays": "identityMap.values().count() = 2",
    "count of a map": "visits.count() = 2",
    "map as a condition": "visits",
    "map over entries": "visits.map((K, V) => V * 2).max() > 4",
    "group": "xEvent.groupBy(eventType).count() = 2",
    "group sizes": "xEvent.groupBy(eventType).map((K, G) => G.count()).max() > 2",
    "group as this": 'xEvent.groupBy(eventType).map({"n": this.count()}).exists(n > 1)',
    "group by key": 'xEvent.groupBy(eventType).get("buy").sum(value) > 0',
    "group values": "xEvent.groupBy(eventType).values().exists(this.count() > 2)",
    "first group": "xEvent.groupBy(eventType).values().head().count() > 1",
    "map entries": 'xEvent.map(mapEntry(eventType, value)).get("buy") > 0',
    "map entries of groups": 'xEvent.groupBy(eventType).map((K, G) => mapEntry(K, G.count())).get("view") = 2',
    "keys of made entries": 'xEvent.map(mapEntry(eventType, count)).keys().head() = "buy"',
    "null keys": "xEvent.map(mapEntry(eventType, count)).count() = 2",
    # Relations and segments
    "relation": 'storeSku@{_xdm.context.product}.category = "Men"',
    "relation of items": 'xEvent.items.SKU@{_xdm.context.product}.category = "Women"',
    "relation in a select": "select E from xEvent, I from E.items where I.SKU@{_xdm.context.product}.margin > 0.4",
    "relation is null": "storeSku@{_xdm.context.product}.margin.isNull()",
    "related record is null": "storeSku@{_xdm.context.product}.isNull()",
    "in a segment": 'inSegment("s1") and not inSegment("s2")',
    # Time
    "within days": "joinedAt occurs <= 7 days before now",
    "beyond days": "joinedAt occurs > 7 days before now",
    "exactly": "joinedAt occurs = 1 days before now",
    "not exactly": "joinedAt occurs != 1 days before now",
    "after": "joinedAt occurs <= 2 hours after yesterday",
    "either side": "joinedAt occurs < 1 days from today",
    "before": "joinedAt occurs before date(2025, 1, 1)",
    "after a date": "joinedAt occurs after date(2025, 3, 28)",
    "during": "joinedAt occurs this month or joinedAt occurs last year",
    "last week": "joinedAt occurs last week",
    "on a day": "joinedAt occurs on date(2024, 2, 29)",
    "between": "joinedAt occurs between date(2024, 10, 27) and yesterday",
    "a day": "birthDate occurs before date(2000, 1, 1)",
    "ignoring the year": "birthDate occurs ignoreYear today",
    "ignoring the year, leap": "birthDate occurs ignoreYear <= 40 days before now",
    "ignoring the year, after": "joinedAt occurs ignoreYear after date(2025, 3, 1)",
    "against a column": "joinedAt occurs <= 1 days after address.since",
    "exactly from a column": "joinedAt occurs = 1 days from address.since",
    "hours from a column": "joinedAt occurs = 1 hours before address.since",
    "weeks from a column": "joinedAt occurs = 1 weeks before address.since",
    "months from a column": "joinedAt occurs <= 1 months before address.since or joinedAt occurs = 1 years after address.since",
    "on a column's day": "joinedAt occurs on birthDate",
    "after a column's day": "joinedAt occurs > 25 years after birthDate",
    "ignoring a column's year": "birthDate occurs ignoreYear <= 3 days from joinedAt",
    "date parts": "joinedAt.getYear() = 2024 and joinedAt.getMonth() >= 10 and joinedAt.getDayOfMonth() > 1",
    "parts of a day": "birthDate.getMonth() = currentMonth() and birthDate.getDayOfMonth() <= currentDayOfMonth()",
    "dates compare": "birthDate < date(2000, 1, 1) and joinedAt > birthDate",
    "date in a list": "birthDate in [date(2000, 2, 29)]",
    "date as text": 'joinedAt >= "2025-03-30" or birthDate = "1999-03-30"',
    "age": "currentYear() - birthDate.getYear() >= 26",
    # Chains
    "chain of one": 'CHAIN(xEvent, timestamp, [A: WHAT(eventType = "buy") WHEN(<= 7 days before now)])',
    "chain of two": 'CHAIN(xEvent, timestamp, [A: WHAT(eventType = "view"), B: WHAT(eventType = "buy")])',
    "chain of three": "CHAIN(xEvent, timestamp, [A: WHAT(value >= 0), B: WHAT(count > 0), C: WHAT(true)])",
    "chain with a gap": 'CHAIN(xEvent, timestamp, [A: WHAT(eventType = "view"), GAP(<= 24 hours), B: WHAT(eventType = "buy")])',
    "chain with a long gap": "CHAIN(xEvent, timestamp, [A: WHAT(true), GAP(> 1 days), B: WHAT(true), GAP(<= 30 days), C: WHAT(true)])",
    "chain with an exact gap": "CHAIN(xEvent, timestamp, [A: WHAT(true), GAP(= 1 days), B: WHAT(true)])",
    "chain counts at least": 'CHAIN(xEvent, timestamp, [A: WHAT(eventType = "view") COUNT(2), B: WHAT(eventType = "buy")])',
    "chain counts at least, last": "CHAIN(xEvent, timestamp, [A: WHAT(true), B: WHAT(value >= 0) COUNT(3)])",
    "chain counts exactly": 'CHAIN(xEvent, timestamp, [A: WHAT(eventType = "view") COUNT(= 2)])',
    "chain counts exactly between": "CHAIN(xEvent, timestamp, [A: WHAT(count > 0), B: WHAT(value >= 0) COUNT(= 2), C: WHAT(count < 1)])",
    "chain counts at most": 'CHAIN(xEvent, timestamp, [A: WHAT(eventType = "view") COUNT(<= 1), B: WHAT(eventType = "buy")])',
    "chain counts at most, last": 'CHAIN(xEvent, timestamp, [A: WHAT(eventType = "view"), B: WHAT(eventType = "buy") COUNT(<= 1)])',
    "chain counts between": "CHAIN(xEvent, timestamp, [A: WHAT(value >= 0) COUNT(between 2 and 3)])",
    "chain counts none": 'CHAIN(xEvent, timestamp, [A: WHAT(eventType = "buy") COUNT(= 0)])',
    "chain counts all": 'CHAIN(xEvent, timestamp, [A: WHAT(eventType = "buy") WHEN(<= 30 days before now) COUNT(all)])',
    "chain counts all between": "CHAIN(xEvent, timestamp, [A: WHAT(count > 0), B: WHAT(value >= 0) COUNT(all), C: WHAT(count < 1)])",
    "chain without": 'CHAIN(xEvent, timestamp, [A: not WHAT(eventType = "buy")])',
    "chain without, between": 'CHAIN(xEvent, timestamp, [A: WHAT(eventType = "view"), N: not WHAT(eventType = "cart"), B: WHAT(eventType = "buy")])',
    "chain without, last": 'CHAIN(xEvent, timestamp, [A: WHAT(eventType = "view"), N: not WHAT(eventType = "buy")])',
    "chain without, last, in a gap": 'CHAIN(xEvent, timestamp, [A: WHAT(eventType = "cart"), GAP(<= 1 hours), N: not WHAT(eventType = "buy")])',
    "chain without, first": 'CHAIN(xEvent, timestamp, [N: not WHAT(eventType = "buy"), A: WHAT(eventType = "view")])',
    "chain without, twice": 'CHAIN(xEvent, timestamp, [A: WHAT(true), N: not WHAT(eventType = "buy"), M: not WHAT(value < 0), B: WHAT(true)])',
    "chain without, in a gap": 'CHAIN(xEvent, timestamp, [A: WHAT(true), GAP(<= 2 hours), N: not WHAT(eventType = "buy"), B: WHAT(count > 0)])',
    "chain at most, in a gap": 'CHAIN(xEvent, timestamp, [A: WHAT(true), GAP(<= 30 days), N: WHAT(eventType = "buy") COUNT(<= 1), B: WHAT(true)])',
    "chain with a label": "CHAIN(xEvent, timestamp, [A: WHAT(value >= 0), B: WHAT(value > A.value)])",
    "chain with a label's items": "CHAIN(xEvent, timestamp, [A: WHAT(true), GAP(<= 30 days), B: WHAT(items.SKU.intersects(A.items.SKU))])",
    "chain with a label of many": "CHAIN(xEvent, timestamp, [A: WHAT(value >= 0) COUNT(2), B: WHAT(count > A.count)])",
    "chain with a label, counted": "CHAIN(xEvent, timestamp, [A: WHAT(true), B: WHAT(value >= A.value) COUNT(2)])",
    "chain with a label, exactly": "CHAIN(xEvent, timestamp, [A: WHAT(true), B: WHAT(value >= A.value) COUNT(= 1), C: WHAT(true)])",
    "chain with a label, without": "CHAIN(xEvent, timestamp, [A: WHAT(true), N: not WHAT(value > A.value), C: WHAT(true)])",
    "chain of a filter": 'CHAIN(xEvent[value >= 0], timestamp, [A: WHAT(eventType = "view"), B: WHAT(eventType = "buy")])',
    "chain reads the profile": "CHAIN(xEvent, timestamp, [A: WHAT(count < ^.points), B: WHAT(true)])",
    "chain in a chain's window": "CHAIN(xEvent, timestamp, [A: WHAT(true) WHEN(today), B: WHAT(true) WHEN(after yesterday)])",
    "chain negated": 'not CHAIN(xEvent, timestamp, [A: WHAT(eventType = "view"), B: WHAT(eventType = "buy")])',
}


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_a_construct_means_the_same_twice(name: str) -> None:
    checked = check(CONSTRUCTS[name])
    assert world().by_statement(checked) == world().by_reference(checked)


@pytest.mark.parametrize(
    "name",
    [name for name, rule in CONSTRUCTS.items() if "occurs" in rule or "get" in rule or "WHEN" in rule or "GAP" in rule],
)
def test_a_construct_means_the_same_twice_in_another_zone(name: str) -> None:
    checked = check(CONSTRUCTS[name])
    assert world().by_statement(checked, zone=BERLIN) == world().by_reference(checked, zone=BERLIN)


def test_most_constructs_tell_profiles_apart() -> None:
    found = [len(world().by_reference(check(rule), zone=UTC)) for rule in CONSTRUCTS.values()]
    assert sum(0 < count < 150 for count in found) > len(found) * 0.9


def test_utc_by_its_name_is_written_as_utc() -> None:
    checked = check("joinedAt occurs <= 1 months after address.since")
    written = [to_sql(checked, WorldLayout(), NOW, zone).sql() for zone in (UTC, ZoneInfo("UTC"))]
    assert written[0] == written[1]
