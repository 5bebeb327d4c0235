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

CONSTRUCTS: Final[dict[str, str]] = {
    # Parameters and names
    "implicit profile": 'person.gender = "female"',
    "`$1`": '$1.person.gender = "female"',
    "named profile": '(P) => P.person.gender = "female"',
    "name in back quotes": '`person`.`gender` = "female"',
    "`this`": f'{_PERKS}[this = "lounge"].count() = 1',
    "`^`": "xEvent[productListItems[quantity > 1 and ^.commerce.purchases.value > 0]].count() >= 1",
    "array projection": 'xEvent.productListItems.name = "x"',
    "relation": f'{_STORE}.city = "Berlin"',
    "relation from an event": f'xEvent.productListItems.exists({_PRODUCT}.category = "Men")',
    # Literals
    "string": 'homeAddress.city = "Berlin"',
    "Boolean": "true",
    "integer": f"{_POINTS} > 100",
    "double": "xEvent.commerce.order.priceTotal > 19.5",
    "list": 'homeAddress.countryCode in ["DE", "US"]',
    "object": f'{_PERKS}.map({{"perk": this}}).count() > 0',
    # Logic
    "`and`": f'person.gender = "female" and {_POINTS} > 100',
    "`or`": f'person.gender = "female" or {_POINTS} > 100',
    "`not`": 'not (person.gender = "female")',
    "`!`": '!(person.gender = "female")',
    # Comparison
    "`=`": "homeAddress.countryCode = shippingAddress.countryCode",
    "`!=`": 'person.gender != "female"',
    "`<`": f"{_POINTS} < 1000",
    "`<=`": f"{_POINTS} <= 1000",
    "`>`": f"{_POINTS} > 1000",
    "`>=`": f"{_POINTS} >= 1000",
    "`in`": f'{_LEVEL} in ["gold", "platinum"]',
    "`notIn`": f'{_LEVEL} notIn ["gold", "platinum"]',
    "`like`": 'personalEmail.address like "%@%.example"',
    # Arithmetic
    "`+`": f"{_POINTS} + 100 > 1000",
    "`-`": f"{_POINTS} - 100 > 1000",
    "`*`": "xEvent.productListItems.sum(quantity * priceTotal) > 100",
    "`/`": f"{_POINTS} / 2 > 500.5",
    "`%`": f"{_POINTS} % 2 = 0",
    "unary `-`": f"-{_POINTS} < -100",
    # Strings
    "`startsWith`": 'person.name.lastName.startsWith("m", false)',
    "`doesNotStartWith`": 'person.name.lastName.doesNotStartWith("M")',
    "`endsWith`": 'personalEmail.address.endsWith(".example")',
    "`doesNotEndWith`": 'personalEmail.address.doesNotEndWith(".example")',
    "`contains`": 'homeAddress.city.contains("BER", false)',
    "`doesNotContain`": 'homeAddress.city.doesNotContain("er")',
    "`equals`": f'{_LEVEL}.equals("GOLD", false)',
    "`notEqualTo`": f'{_LEVEL}.notEqualTo("gold")',
    "`matches`": 'personalEmail.address.matches("(?i)LUMA")',
    "`regexGroup`": 'personalEmail.address.regexGroup("@(\\\\w+)", 1) = "luma"',
    "`stringCompare`": f'stringCompare("equals", {_LEVEL}, ["GOLD", "PLATINUM"], false)',
    # Null, conditions, calendar
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
    # Arrays and sets
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
    "`forall`": "xEvent.forall(productListItems.forall(quantity >= 1))",
    "`groupBy`": "xEvent.productListItems.groupBy(SKU).values().count() > 2",
    "`topN`": "xEvent.topN(commerce.order.priceTotal, 2).sum(commerce.order.priceTotal) > 100",
    "`bottomN`": "xEvent.bottomN(timestamp, 2).count() = 2",
    "`count`": "xEvent.count() > 5",
    "`sum`": "xEvent.sum(commerce.order.priceTotal) > 100",
    "`average`": "xEvent.average(commerce.order.priceTotal) > 40",
    "`min`": "xEvent.min(commerce.order.priceTotal) < 20",
    "`max`": "xEvent.max(commerce.order.priceTotal) > 60",
    "lambda": "xEvent.exists((E) => E.commerce.purchases.value > 0)",
    # Maps
    "`get`": 'identityMap.get("Email").count() > 0',
    "`keys`": 'identityMap.keys().includes("Email")',
    "`values`": "identityMap.values().count() > 1",
    "`mapEntry`": (
        "xEvent.productListItems.groupBy(SKU).map((S, L) => mapEntry(S, L.sum(quantity))).values().max() > 2"
    ),
    # Segments
    "`inSegment`": f'inSegment("{_SEGMENT}")',
    # Names given by a rule
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
    # Time
    "`occurs <= N before`": "xEvent.exists(timestamp occurs <= 14 days before now)",
    "`occurs > N before`": f"{_JOINED} occurs > 2 years before today",
    "`occurs = N before`": f"{_JOINED} occurs = 12 months before now",
    "`occurs N after`": f"{_JOINED} occurs < 52 weeks after date(2022, 1, 1)",
    "`occurs N from`": f"{_JOINED} occurs <= 400 days from now",
    "`occurs before`": f"{_JOINED} occurs before this year",
    "`occurs after`": f"{_JOINED} occurs after date(2022, 5, 31)",
    "`occurs` a period": "xEvent.timestamp occurs last month",
    "`occurs on`": f"{_JOINED} occurs on date(2022, 5, 31)",
    "`occurs between`": f"{_JOINED} occurs between date(2022, 1, 1) and yesterday",
    "`occurs ignoreYear`": "person.birthDate occurs ignoreYear this month",
    # Chains
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
    "`COUNT(all)`": "CHAIN(xEvent, timestamp, [A: WHAT(commerce.purchases.value.isNull()) WHEN(this year) COUNT(all)])",
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
        "B: WHAT(commerce.purchases.value > 0 and web.webPageDetails.name = A.web.webPageDetails.name)])"
    ),
}
