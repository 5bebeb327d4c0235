"""One rule for each construct of the language, on the fields of the sample: what the table of the language runs."""

from __future__ import annotations

from typing import Final

from tests.pql.rules import NAMESPACE

_POINTS = f"{NAMESPACE}.loyalty.points"
_LEVEL = f"{NAMESPACE}.loyalty.level"
_PERKS = f"{NAMESPACE}.loyalty.perks"
_JOINED = f"{NAMESPACE}.loyalty.joinDate"
_STORE = f"{NAMESPACE}.favouriteStoreId@{{{NAMESPACE}.xdm.classes.store}}.{NAMESPACE}"
_PRODUCT = f"SKU@{{_xdm.context.product}}.{NAMESPACE}"
_SEGMENT = "c0ffee00-0000-4000-8000-000000000001"

SECTIONS: Final[dict[str, dict[str, str]]] = {
    "Parameters and names": {
        "implicit profile": 'person.gender = "female"',
        "`$1`": '$1.person.gender = "female"',
        "named profile": '(P) => P.person.gender = "female"',
        "name in back quotes": '`person`.`gender` = "female"',
        "`this`": f'{_PERKS}[this = "lounge"].count() = 1',
        "`^`": "xEvent[productListItems[quantity > 1 and ^.commerce.purchases.value > 0]].count() >= 1",
        "array projection": 'xEvent.productListItems.name = "Dune Jacket"',
        "`^^`": f"xEvent[productListItems[quantity > 1 and ^^.{_POINTS} > 100]].count() >= 1",
        "projection `isNull`": "xEvent.productListItems.name.isNull()",
        "projection in a list": 'xEvent.productListItems.SKU in ["MH01", "WS12"]',
    },
    "Literals": {
        "string": 'homeAddress.city = "Berlin"',
        "Boolean": "true",
        "integer": f"{_POINTS} > 100",
        "double": "xEvent.commerce.order.priceTotal > 19.5",
        "list": 'homeAddress.countryCode in ["DE", "US"]',
        "object": f'{_PERKS}.map({{"perk": this}}).count() > 0',
        "escapes in a string": 'homeAddress.city != "\\"\\\\ \\/ \\u0042 \\n"',
        "negative integer": f"{_POINTS} > -1",
        "double with an exponent": "xEvent.commerce.order.priceTotal > 1.5e1",
        "`date`, bare": f"{_JOINED} != date(2022, 7, 1)",
        "timestamp as text": f'{_JOINED} >= "2022-07-01T12:00:00Z"',
        "number as text": f'{_POINTS} > "100"',
        "empty list": "homeAddress.countryCode in []",
        "list of values that are not constant": "homeAddress.countryCode in [shippingAddress.countryCode]",
    },
    "Logic": {
        "`and`": f'person.gender = "female" and {_POINTS} > 100',
        "`or`": f'person.gender = "female" or {_POINTS} > 100',
        "`not`": 'not (person.gender = "female")',
        "`!`": '!(person.gender = "female")',
        "array as a condition": f"{_PERKS} and xEvent",
        "map as a condition": "identityMap",
        "object as a condition": "homeAddress",
    },
    "Comparison": {
        "`=`": "homeAddress.countryCode = shippingAddress.countryCode",
        "`!=`": 'person.gender != "female"',
        "`<`": f"{_POINTS} < 1000",
        "`<=`": f"{_POINTS} <= 1000",
        "`>`": f"{_POINTS} > 1000",
        "`>=`": f"{_POINTS} >= 1000",
        "`in`": f'{_LEVEL} in ["gold", "platinum"]',
        "`notIn`": f'{_LEVEL} notIn ["gold", "platinum"]',
        "`like`": 'personalEmail.address like "%@%.org"',
        "`=` of lists": f'{_PERKS} = ["freeShipping", "earlyAccess"]',
        "`!=` of lists": f'{_PERKS} != ["lounge"]',
        "`=` of elements": "(select E from xEvent, F from xEvent where E = F).count() > 5",
        "`in` a field": f'"lounge" in {_PERKS}',
        "`notIn` a field": f'"lounge" notIn {_PERKS}',
        "array `in`": f'{_PERKS} in ["lounge"]',
        "`like`, escaped": 'person.gender like "non\\\\_%"',
    },
    "Arithmetic": {
        "`+`": f"{_POINTS} + 100 > 1000",
        "`-`": f"{_POINTS} - 100 > 1000",
        "`*`": "xEvent.productListItems.sum(quantity * priceTotal) > 100",
        "`/`": f"{_POINTS} / 2 > 500.5",
        "`%`": f"{_POINTS} % 2 = 0",
        "unary `-`": f"-{_POINTS} < -100",
    },
    "Strings": {
        "`startsWith`": 'person.name.lastName.startsWith("m", false)',
        "`doesNotStartWith`": 'person.name.lastName.doesNotStartWith("M")',
        "`endsWith`": 'personalEmail.address.endsWith(".org")',
        "`doesNotEndWith`": 'personalEmail.address.doesNotEndWith(".org")',
        "`contains`": 'homeAddress.city.contains("BER", false)',
        "`doesNotContain`": 'homeAddress.city.doesNotContain("er")',
        "`equals`": f'{_LEVEL}.equals("GOLD", false)',
        "`notEqualTo`": f'{_LEVEL}.notEqualTo("gold")',
        "`matches`": 'personalEmail.address.matches("(?i)SMITH|\\\\.org$")',
        "`regexGroup`": 'personalEmail.address.regexGroup("@(\\\\w+)\\\\.(\\\\w+)", 2) = "org"',
        "`stringCompare`": f'stringCompare("equals", {_LEVEL}, ["GOLD", "PLATINUM"], false)',
        "`regexGroup`, group left out": 'personalEmail.address.regexGroup("\\\\.(org|net)$") = "org"',
        "`stringCompare`, negative": 'stringCompare("doesNotContain", homeAddress.city, ["er", "on"])',
    },
    "Null, conditions, calendar": {
        "`isNull`": "mobilePhone.number.isNull()",
        "`isNotNull`": "mobilePhone.number.isNotNull()",
        "`if`": f'if({_POINTS} > 1000, "VIP", "regular") = "VIP"',
        "`date`": f"{_JOINED} >= date(2022, 7, 1)",
        "`currentYear`": "currentYear() - person.birthYear >= 30",
        "`currentMonth`": "person.birthMonth != currentMonth()",
        "`currentDayOfMonth`": "person.birthDate.getDayOfMonth() <= currentDayOfMonth()",
        "`getYear`": f"{_JOINED}.getYear() < 2023",
        "`getMonth`": f"{_JOINED}.getMonth() = 11",
        "`getDayOfMonth`": f"{_JOINED}.getDayOfMonth() in [1, 2, 3]",
        "`isNull` of an object": "shippingAddress.isNull()",
        "`isNull` of an array": f"{_PERKS}.isNull()",
        "`if` of numbers": f"if({_POINTS}.isNull(), 0, {_POINTS}) < 100",
    },
    "Arrays and sets": {
        "`intersects`": f'{_PERKS}.intersects(["lounge", "freeShipping"])',
        "`intersection`": f'{_PERKS}.intersection(["lounge"]).count() = 1',
        "`subsetOf`": f'{_PERKS}.subsetOf(["lounge", "freeShipping"])',
        "`supersetOf`": f'{_PERKS}.supersetOf(["freeShipping"])',
        "`includes`": f'{_PERKS}.includes("lounge")',
        "`distinct`": "xEvent.web.webPageDetails.name.distinct().count() >= 4",
        "`head`": "xEvent.topN(timestamp, 1).head().commerce.purchases.value > 0",
        "filter `[…]`": "xEvent[commerce.purchases.value > 0].count() > 1",
        "`filter`": "xEvent.filter(commerce.purchases.value > 0).count() > 1",
        "`map`": "xEvent.map(commerce.order.priceTotal).sum() > 100",
        "`exists`": 'xEvent.exists(eventType = "commerce.purchases")',
        "`forall`": "xEvent.forall(productListItems.forall(quantity < 3))",
        "`groupBy`": "xEvent.productListItems.groupBy(SKU).values().count() > 2",
        "`topN`": "xEvent.topN(commerce.order.priceTotal, 2).sum(commerce.order.priceTotal) > 100",
        "`bottomN`": "xEvent.bottomN(timestamp, 2).count() = 2",
        "lambda": "xEvent.exists((E) => E.commerce.purchases.value > 0)",
        "filter in a filter": "xEvent[productListItems[quantity > 1].count() > 0].count() > 0",
        "filter of an object": 'homeAddress[city = "Berlin"].count() = 1',
        "`exists` without a condition": "xEvent.exists()",
        "`map` to objects": 'xEvent.map({"kind": eventType}).exists(kind = "commerce.purchases")',
    },
    "Aggregates": {
        "`count`": "xEvent.count() > 5",
        "`sum`": "xEvent.sum(commerce.order.priceTotal) > 100",
        "`average`": "xEvent.average(commerce.order.priceTotal) > 40",
        "`min`": "xEvent.min(commerce.order.priceTotal) < 20",
        "`max`": "xEvent.max(commerce.order.priceTotal) > 60",
        "`count` of a map": "identityMap.count() > 1",
        "`sum` of numbers": "xEvent.productListItems.quantity.sum() > 5",
        "`max` of timestamps": "xEvent.max(timestamp) occurs <= 30 days before now",
        "`min` of strings": f'{_PERKS}.min() = "earlyAccess"',
    },
    "Maps": {
        "`get`": 'identityMap.get("Email").count() > 0',
        "`keys`": 'identityMap.keys().includes("Email")',
        "`values`": "identityMap.values().count() > 1",
        "`mapEntry`": (
            "xEvent.productListItems.groupBy(SKU).map((S, L) => mapEntry(S, L.sum(quantity))).values().max() > 2"
        ),
        "key as a path": "identityMap.Email.count() > 0",
        "`map` over entries": "identityMap.map((K, V) => V.count()).count() > 2",
        "groups by key": 'xEvent.groupBy(eventType).get("commerce.purchases").count() > 1',
        "group as `this`": 'xEvent.groupBy(eventType).map({"n": this.count()}).exists(n > 3)',
    },
    "Names given by a rule": {
        "`select`": "select E from xEvent where E.commerce.purchases.value > 0",
        "`select` of two": (
            "select E from xEvent where E.commerce.purchases.value > 0, I from E.productListItems where I.quantity > 1"
        ),
        "`select` joined": (
            "select E1 from xEvent where E1.commerce.purchases.value > 0, I1 from E1.productListItems, "
            "E2 from xEvent where E2.commerce.purchases.value > 0 and E2 != E1 "
            "and E2.timestamp occurs <= 30 days after E1.timestamp, I2 from E2.productListItems where I2.SKU = I1.SKU"
        ),
        "counted `select`": '(select E from xEvent where E.eventType = "commerce.productViews").count() > 2',
        "`exists … from`": "exists E from xEvent where E.commerce.purchases.value > 0",
        "`forall … from`": "forall E from xEvent where E.commerce.order.priceTotal.isNull()",
        "`some`": "some E from xEvent where E.commerce.purchases.value > 0",
        "`all`": "all E from xEvent where E.commerce.order.priceTotal.isNull()",
        "`none`": "none E from xEvent where E.commerce.purchases.value > 0",
        "`one`": "one E from xEvent: E.commerce.purchases.value > 0",
        "`let`": "let N = xEvent[commerce.purchases.value > 0].count() in (N > 0 and N <= 3)",
        "`sum … over`": (
            "(sum I.quantity over E from xEvent where E.commerce.purchases.value > 0, I from E.productListItems) > 3"
        ),
        "`average … over`": "(average E.commerce.order.priceTotal over E from xEvent) > 40",
        "`min … over`": "(min E.commerce.order.priceTotal over E from xEvent) < 20",
        "`max … over`": "(max E.commerce.order.priceTotal over E from xEvent) > 60",
        "`select` in a `select`": "select E from xEvent where (select I from E.productListItems where I.quantity > 1)",
        "`:` for `where`": "exists E from xEvent: E.commerce.purchases.value > 0",
        "`forall` of tuples": (
            "forall E from xEvent where E.commerce.purchases.value > 0, I from E.productListItems where I.quantity < 3"
        ),
        "profile field in a `where`": f"exists E from xEvent where E.commerce.order.priceTotal > {_POINTS}",
        "`let` of a `select`": (
            "let S = (select E from xEvent where E.commerce.purchases.value > 0) in (S.count() = 1 or S.count() = 2)"
        ),
    },
    "Time": {
        "`occurs <= N before`": "xEvent.exists(timestamp occurs <= 14 days before now)",
        "`occurs > N before`": f"{_JOINED} occurs > 2 years before today",
        "`occurs = N before`": f"{_JOINED} occurs = 12 months before now",
        "`occurs N after`": f"{_JOINED} occurs < 52 weeks after date(2022, 1, 1)",
        "`occurs N from`": f"{_JOINED} occurs <= 400 days from now",
        "`occurs before`": f"{_JOINED} occurs before this year",
        "`occurs after`": f"{_JOINED} occurs after date(2022, 5, 31)",
        "`occurs` a period": "xEvent.timestamp occurs last month",
        "`occurs on`": f"{_JOINED} occurs on date(2025, 8, 20)",
        "`occurs between`": f"{_JOINED} occurs between date(2022, 1, 1) and yesterday",
        "`occurs ignoreYear`": "person.birthDate occurs ignoreYear this month",
        "`occurs < N before`": f"{_JOINED} occurs < 24 months before now",
        "`occurs >= N before`": f"{_JOINED} occurs >= 24 months before now",
        "`occurs != N before`": f"{_JOINED} occurs != 24 months before now",
        "`occurs between` two references": f"{_JOINED} occurs between last year and now",
        "`occurs` against a field": "select E from xEvent, F from xEvent where F.timestamp occurs <= 2 hours after E.timestamp",
        "`ignoreYear` in a window": "person.birthDate occurs ignoreYear <= 40 days before now",
        "`now`": f"{_JOINED} < now",
        "`today`": "xEvent.timestamp occurs today",
        "`yesterday`": "xEvent.timestamp occurs yesterday",
        "`tomorrow`": f"{_JOINED} occurs before tomorrow",
        "`this`, a unit": "xEvent.timestamp occurs this week",
        "`last`, a unit": "xEvent.timestamp occurs last week",
        "`next`, a unit": f"{_JOINED} occurs before next month",
        "`milliseconds`": "xEvent.timestamp occurs <= 2592000000 milliseconds before now",
        "`seconds`": "xEvent.timestamp occurs <= 2592000 seconds before now",
        "`minutes`": "xEvent.timestamp occurs <= 43200 minutes before now",
        "`hours`": "xEvent.timestamp occurs <= 720 hours before now",
        "`days`": "xEvent.timestamp occurs <= 30 days before now",
        "`weeks`": "xEvent.timestamp occurs <= 4 weeks before now",
        "`months`": "xEvent.timestamp occurs <= 1 months before now",
        "`years`": f"{_JOINED} occurs <= 2 years before now",
        "`decades`": "person.birthDate occurs <= 3 decades before now",
        "`centuries`": "person.birthDate occurs <= 1 centuries before now",
        "`millennia`": "person.birthDate occurs <= 1 millennia before now",
    },
    "Chains": {
        "`CHAIN`": (
            'CHAIN(xEvent, timestamp, [C0: WHAT(eventType = "commerce.productViews"), '
            'C1: WHAT(eventType = "commerce.purchases")])'
        ),
        "`WHERE`": 'CHAIN(xEvent, timestamp, [A: WHAT(commerce.purchases.value > 0) WHERE(channel.typeAtSource = "web")])',
        "`WHEN`": "CHAIN(xEvent, timestamp, [A: WHAT(commerce.purchases.value > 0) WHEN(<= 60 days before now)])",
        "`COUNT(n)`": "CHAIN(xEvent, timestamp, [A: WHAT(commerce.productViews.value > 0) COUNT(2)])",
        "`COUNT(= n)`": "CHAIN(xEvent, timestamp, [A: WHAT(commerce.purchases.value > 0) COUNT(= 1)])",
        "`COUNT(<= n)`": "CHAIN(xEvent, timestamp, [A: WHAT(commerce.purchases.value > 0) COUNT(<= 1)])",
        "`COUNT(between …)`": "CHAIN(xEvent, timestamp, [A: WHAT(commerce.purchases.value > 0) COUNT(between 1 and 2)])",
        "`COUNT(all)`": "CHAIN(xEvent, timestamp, [A: WHAT(commerce.purchases.value.isNull()) WHEN(last month) COUNT(all)])",
        "excluded event": (
            "CHAIN(xEvent, timestamp, [A: WHAT(commerce.productListAdds.value > 0), "
            "B: not WHAT(commerce.purchases.value > 0)])"
        ),
        "`GAP`": (
            "CHAIN(xEvent, timestamp, [A: WHAT(commerce.productListAdds.value > 0), GAP(<= 2 days), "
            "B: WHAT(commerce.purchases.value > 0)])"
        ),
        "label of an earlier element": (
            "CHAIN(xEvent, timestamp, [A: WHAT(commerce.productViews.value > 0), "
            "B: WHAT(commerce.productViews.value > 0 and web.webPageDetails.name = A.web.webPageDetails.name)])"
        ),
        "chain of a filter": (
            'CHAIN(xEvent[channel.typeAtSource = "web"], timestamp, [A: WHAT(commerce.productViews.value > 0), '
            "B: WHAT(commerce.purchases.value > 0)])"
        ),
        "`WHAT(true)`": "CHAIN(xEvent, timestamp, [A: WHAT(true) WHEN(last month), B: WHAT(true) WHEN(this month)])",
        "`^` in `WHAT`": f"CHAIN(xEvent, timestamp, [A: WHAT(commerce.order.priceTotal > ^.{_POINTS})])",
        "`WHEN(between …)`": (
            "CHAIN(xEvent, timestamp, "
            "[A: WHAT(commerce.purchases.value > 0) WHEN(between date(2025, 10, 1) and date(2025, 10, 31))])"
        ),
        "`COUNT(>= n)`": "CHAIN(xEvent, timestamp, [A: WHAT(commerce.purchases.value > 0) COUNT(>= 2)])",
        "`COUNT(> n)`": "CHAIN(xEvent, timestamp, [A: WHAT(commerce.purchases.value > 0) COUNT(> 2)])",
        "`COUNT(< n)`": "CHAIN(xEvent, timestamp, [A: WHAT(commerce.purchases.value > 0) COUNT(< 2)])",
        "`COUNT(= 0)`": "CHAIN(xEvent, timestamp, [A: WHAT(commerce.purchases.value > 0) COUNT(= 0)])",
        "excluded event, first": (
            "CHAIN(xEvent, timestamp, [A: not WHAT(commerce.productListAdds.value > 0), "
            "B: WHAT(commerce.purchases.value > 0)])"
        ),
        "excluded event, between": (
            "CHAIN(xEvent, timestamp, [A: WHAT(commerce.productViews.value > 0), !B: WHAT(commerce.purchases.value > 0), "
            "C: WHAT(commerce.productListAdds.value > 0)])"
        ),
        "excluded event in a gap": (
            "CHAIN(xEvent, timestamp, [A: WHAT(commerce.productListAdds.value > 0), GAP(<= 1 hours), "
            "B: !WHAT(commerce.purchases.value > 0)])"
        ),
        "`GAP(> …)`": (
            "CHAIN(xEvent, timestamp, [A: WHAT(commerce.purchases.value > 0), GAP(> 30 days), "
            "B: WHAT(commerce.purchases.value > 0)])"
        ),
        "items of a label": (
            "CHAIN(xEvent, timestamp, [A: WHAT(commerce.purchases.value > 0), GAP(<= 30 days), "
            "B: WHAT(commerce.purchases.value > 0 and productListItems.SKU.intersects(A.productListItems.SKU))])"
        ),
    },
    "Relations": {
        "relation": f'{_STORE}.city = "Berlin"',
        "relation from an event": f'xEvent.productListItems.exists({_PRODUCT}.category = "Men")',
        "relation in a `select`": (
            f'select E from xEvent where E.commerce.purchases.value > 0, I from E.productListItems where I.{_PRODUCT}.category = "Men"'
        ),
        "relation without a record": f"{_STORE}.city.isNull()",
    },
    "Segments": {
        "`inSegment`": f'inSegment("{_SEGMENT}")',
    },
}

CONSTRUCTS: Final[dict[str, str]] = {name: rule for section in SECTIONS.values() for name, rule in section.items()}

MEMBERSHIPS: Final[dict[str, str]] = {
    "membership by attribute": f'segmentMembership.get("ups").get("{_SEGMENT}").status in ["realized", "existing"]',
    "keys of memberships": f'segmentMembership.get("ups").keys().includes("{_SEGMENT}")',
}
"""Constructs on a field that the sample's schema does not have."""
