"""The functions of the language, in one table: the checker, completion and the documentation all read it.

Source: Adobe's documentation of PQL, section by section as in ``docs/pql.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final


class Family(Enum):
    """How the checker reads a function's arguments."""

    STRING_TEST = auto()
    PATTERN = auto()
    NULL_TEST = auto()
    DATE_PART = auto()
    CLOCK = auto()
    DATE = auto()
    CONDITIONAL = auto()
    SEGMENT = auto()
    STRING_COMPARE = auto()
    SET = auto()
    ARRAY = auto()
    SCOPED = auto()
    AGGREGATE = auto()
    MAP = auto()
    ENTRY = auto()


@dataclass(frozen=True, slots=True)
class Function:
    """One function. ``least`` and ``most`` bound the arguments, the receiver of a method not counted."""

    name: str
    is_method: bool
    family: Family
    least: int
    most: int
    signature: str
    summary: str
    example: str


def _string_test(name: str, summary: str, example: str) -> Function:
    signature = f"String.{name}(String, [caseSensitive]) → Boolean"
    return Function(name, True, Family.STRING_TEST, 1, 2, signature, summary, example)


_TABLE: Final = (
    _string_test("startsWith", "The text begins with another.", 'person.name.lastName.startsWith("Mc", false)'),
    _string_test(
        "doesNotStartWith",
        "The text does not begin with another; false on null.",
        'person.name.lastName.doesNotStartWith("Van")',
    ),
    _string_test("endsWith", "The text ends with another.", 'personalEmail.address.endsWith("@luma.example")'),
    _string_test(
        "doesNotEndWith",
        "The text does not end with another; false on null.",
        'personalEmail.address.doesNotEndWith(".invalid", false)',
    ),
    _string_test("contains", "The text holds another; no wildcards.", 'homeAddress.city.contains("new", false)'),
    _string_test(
        "doesNotContain",
        "The text does not hold another; false on null.",
        'homeAddress.street1.doesNotContain("PO Box")',
    ),
    _string_test(
        "equals", "The text is another, with a switch for letter case.", 'loyalty.level.equals("gold", false)'
    ),
    _string_test(
        "notEqualTo",
        "The text is not another; false on null.",
        'loyalty.level.notEqualTo("bronze", false)',
    ),
    Function(
        *("matches", True, Family.PATTERN, 1, 1),
        "String.matches(pattern) → Boolean",
        "The pattern (Java's syntax) is found somewhere in the text.",
        'personalEmail.address.matches("(?i)luma")',
    ),
    Function(
        *("regexGroup", True, Family.PATTERN, 1, 2),
        "String.regexGroup(pattern, [group = 1]) → String",
        "What a group of the pattern found; group 0 is the whole match, null when nothing is found.",
        'personalEmail.address.regexGroup("@(\\\\w+)\\\\.", 1) = "luma"',
    ),
    Function(
        *("isNull", True, Family.NULL_TEST, 0, 0),
        "any.isNull() → Boolean",
        "The value is absent. An empty text or array is not.",
        "mobilePhone.number.isNull()",
    ),
    Function(
        *("isNotNull", True, Family.NULL_TEST, 0, 0),
        "any.isNotNull() → Boolean",
        "The value is there.",
        "loyalty.level.isNotNull()",
    ),
    Function(
        *("getYear", True, Family.DATE_PART, 0, 0),
        "DateTime.getYear() → Integer",
        "The year.",
        "loyalty.joinDate.getYear() < 2022",
    ),
    Function(
        *("getMonth", True, Family.DATE_PART, 0, 0),
        "DateTime.getMonth() → Integer",
        "The month, 1 to 12.",
        "loyalty.joinDate.getMonth() = 12",
    ),
    Function(
        *("getDayOfMonth", True, Family.DATE_PART, 0, 0),
        "DateTime.getDayOfMonth() → Integer",
        "The day of the month, 1 to 31.",
        "loyalty.joinDate.getDayOfMonth() in [1, 2]",
    ),
    Function(
        *("currentYear", False, Family.CLOCK, 0, 0),
        "currentYear() → Integer",
        "The year of the evaluation.",
        "currentYear() - person.birthYear >= 18",
    ),
    Function(
        *("currentMonth", False, Family.CLOCK, 0, 0),
        "currentMonth() → Integer",
        "The month of the evaluation, 1 to 12.",
        "person.birthMonth != currentMonth()",
    ),
    Function(
        *("currentDayOfMonth", False, Family.CLOCK, 0, 0),
        "currentDayOfMonth() → Integer",
        "The day of the month of the evaluation, 1 to 31.",
        "currentDayOfMonth() = 1",
    ),
    Function(
        *("date", False, Family.DATE, 3, 3),
        "date(year, month, day) → DateTime",
        "The start of a day; as a period, the whole day.",
        "loyalty.joinDate >= date(2023, 7, 1)",
    ),
    Function(
        *("if", False, Family.CONDITIONAL, 3, 3),
        "if(Boolean, T, T) → T",
        "One of two values.",
        'if(loyalty.points > 1000, "VIP", "regular") = "VIP"',
    ),
    Function(
        *("inSegment", False, Family.SEGMENT, 1, 1),
        "inSegment(id) → Boolean",
        "The profile is in another segment now.",
        'inSegment("c0ffee00-0000-4000-8000-000000000001")',
    ),
    Function(
        *("stringCompare", False, Family.STRING_COMPARE, 3, 4),
        "stringCompare(operation, String, String or Array(String), [caseSensitive]) → Boolean",
        "A string test against several texts: some must fit, or for a negative test none.",
        'stringCompare("equals", loyalty.level, ["gold", "platinum"], false)',
    ),
    Function(
        *("intersects", True, Family.SET, 1, 1),
        "Array(T).intersects(Array(T)) → Boolean",
        "The arrays have a value in common.",
        'loyalty.perks.intersects(["freeShipping", "lounge"])',
    ),
    Function(
        *("intersection", True, Family.SET, 1, 1),
        "Array(T).intersection(Array(T)) → Array(T)",
        "The values in common, each once, in the order of the left.",
        'loyalty.perks.intersection(["lounge"]).count() = 1',
    ),
    Function(
        *("subsetOf", True, Family.SET, 1, 1),
        "Array(T).subsetOf(Array(T)) → Boolean",
        "Every value on the left is on the right.",
        'loyalty.perks.subsetOf(["lounge", "earlyAccess"])',
    ),
    Function(
        *("supersetOf", True, Family.SET, 1, 1),
        "Array(T).supersetOf(Array(T)) → Boolean",
        "Every value on the right is on the left.",
        'loyalty.perks.supersetOf(["earlyAccess"])',
    ),
    Function(
        *("includes", True, Family.SET, 1, 1),
        "Array(T).includes(T) → Boolean",
        "The value is in the array.",
        'loyalty.perks.includes("lounge")',
    ),
    Function(
        *("distinct", True, Family.ARRAY, 0, 0),
        "Array(T).distinct() → Array(T)",
        "Each value once, nulls left out.",
        "xEvent.web.webPageDetails.name.distinct().count() >= 4",
    ),
    Function(
        *("head", True, Family.ARRAY, 0, 0),
        "Array(T).head() → T",
        "The first element, null when there is none.",
        "productListItems.topN(priceTotal, 1).head().quantity > 1",
    ),
    Function(
        *("filter", True, Family.SCOPED, 1, 1),
        "Array(T).filter(condition) → Array(T), also Array(T)[condition]",
        "The elements that meet the condition.",
        "productListItems[quantity > 2]",
    ),
    Function(
        *("map", True, Family.SCOPED, 1, 1),
        "Array(T).map(expression) → Array(U); Map(K, V).map((K, V) => expression) → Array(U)",
        "A value made from each element or entry; with mapEntry a map.",
        "productListItems.map(quantity * priceTotal).sum() > 100",
    ),
    Function(
        *("exists", True, Family.SCOPED, 0, 1),
        "Array(T).exists([condition]) → Boolean",
        "Some element meets the condition.",
        'productListItems.exists(name.equals("Luma Mat", false))',
    ),
    Function(
        *("forall", True, Family.SCOPED, 1, 1),
        "Array(T).forall(condition) → Boolean",
        "Every element meets the condition; true when there are none.",
        "productListItems.forall(quantity >= 1)",
    ),
    Function(
        *("groupBy", True, Family.SCOPED, 1, 1),
        "Array(T).groupBy(key) → Map(K, Array(T))",
        "The elements by key, in order of first appearance.",
        "productListItems.groupBy(SKU)",
    ),
    Function(
        *("topN", True, Family.SCOPED, 2, 2),
        "Array(T).topN(value, n) → Array(T)",
        "The n elements with the highest values, highest first.",
        "xEvent.topN(timestamp, 3)",
    ),
    Function(
        *("bottomN", True, Family.SCOPED, 2, 2),
        "Array(T).bottomN(value, n) → Array(T)",
        "The n elements with the lowest values, lowest first.",
        "productListItems.bottomN(priceTotal, 2)",
    ),
    Function(
        *("count", True, Family.AGGREGATE, 0, 0),
        "Array(T).count() → Integer",
        "The number of elements, tuples or entries.",
        "xEvent[commerce.purchases.value > 0].count() > 3",
    ),
    Function(
        *("sum", True, Family.AGGREGATE, 0, 1),
        "Array(T).sum([value]) → number",
        "The sum; 0 for nothing.",
        "xEvent.sum(commerce.order.priceTotal) > 400",
    ),
    Function(
        *("average", True, Family.AGGREGATE, 0, 1),
        "Array(T).average([value]) → Double",
        "The mean; null for nothing.",
        "productListItems.average(priceTotal) < 75.5",
    ),
    Function(
        *("min", True, Family.AGGREGATE, 0, 1),
        "Array(T).min([value]) → U",
        "The least value; null for nothing.",
        "productListItems.min(priceTotal) > 5",
    ),
    Function(
        *("max", True, Family.AGGREGATE, 0, 1),
        "Array(T).max([value]) → U",
        "The greatest value; null for nothing.",
        "xEvent.max(commerce.order.priceTotal) >= 250",
    ),
    Function(
        *("get", True, Family.MAP, 1, 1),
        "Map(K, V).get(K) → V",
        "The value at a key, null when it is absent.",
        'segmentMembership.get("ups")',
    ),
    Function(
        *("keys", True, Family.MAP, 0, 0),
        "Map(K, V).keys() → Array(K)",
        "The keys.",
        'segmentMembership.keys().includes("ups")',
    ),
    Function(
        *("values", True, Family.MAP, 0, 0),
        "Map(K, V).values() → Array(V)",
        "The values.",
        "_wwfovlab011.storeVisits.values().max() > 3",
    ),
    Function(
        *("mapEntry", False, Family.ENTRY, 2, 2),
        "mapEntry(key, value) → Entry",
        "An entry of the map that `map` makes.",
        "productListItems.groupBy(SKU).map((S, L) => mapEntry(S, L.sum(quantity)))",
    ),
)

METHODS: Final = {function.name: function for function in _TABLE if function.is_method}
CALLS: Final = {function.name: function for function in _TABLE if not function.is_method}
FUNCTIONS: Final = _TABLE

PERSONALIZATION_ONLY: Final = frozenset(
    [
        "addDays",
        "addHours",
        "addMinutes",
        "addMonths",
        "addSeconds",
        "addYears",
        "age",
        "ageInDays",
        "ageInMonths",
        "camelCase",
        "charCodeAt",
        "concat",
        "countOnlyNull",
        "countWithNull",
        "currentTimeInMillis",
        "dateDiff",
        "dayOfWeek",
        "dayOfYear",
        "diffInSeconds",
        "distinctCountWithNull",
        "encode64",
        "extractEmailDomain",
        "extractHours",
        "extractMinutes",
        "extractMonths",
        "extractSeconds",
        "formatCurrency",
        "formatDate",
        "formatNumber",
        "getCurrentZonedDateTime",
        "getUrlHost",
        "getUrlPath",
        "getUrlProtocol",
        "hoursDifference",
        "indexOf",
        "isEmpty",
        "isNotEmpty",
        "lastIndexOf",
        "leftTrim",
        "length",
        "lowerCase",
        "lower",
        "mask",
        "md5",
        "notEqualWithIgnoreCase",
        "numberToString",
        "pad",
        "regexNotMatch",
        "replace",
        "replaceAll",
        "rightTrim",
        "setDays",
        "setHours",
        "sha256",
        "sha512",
        "split",
        "stringToDate",
        "stringToNumber",
        "substr",
        "substring",
        "titleCase",
        "toBool",
        "toDateTime",
        "toDateTimeOnly",
        "toHexString",
        "toInteger",
        "toLowerCase",
        "toNumber",
        "toString",
        "toUTC",
        "toUpperCase",
        "trim",
        "truncateToStartOfDay",
        "upperCase",
        "upper",
        "urlDecode",
        "urlEncode",
        "weekOfYear",
    ]
)
"""Functions of Journey Optimizer's personalization language, which looks like PQL and is not."""
