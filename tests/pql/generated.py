"""Rules that Hypothesis makes over the small world: expressions of every kind, put together by type."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from tests.pql.world import TYPES, WORDS

Draw = Callable[[st.SearchStrategy[str]], str]

_COMPARATORS = ["=", "!=", "<", "<=", ">", ">="]
_TEXTS = {
    "": ["name", "level", "address.city", "storeSku", 'homes.get("a").city', "storeSku@{_xdm.context.product}.category"]
}
_TEXTS |= {"E.": ["eventType", "web.page", "_id"], "I.": ["SKU", "name", "SKU@{_xdm.context.product}.category"]}
_LONGS = {
    "": ["points", "bonus", 'visits.get("x")', "perks.count()", "xEvent.count()"],
    "E.": ["count", "items.count()"],
    "I.": ["quantity"],
}
_DOUBLES = {
    "": ["spend", "xEvent.sum(value)", "xEvent.average(value)"],
    "E.": ["value", "items.max(price)"],
    "I.": ["price"],
}
_TIMES = {"": ["joinedAt", "address.since", "birthDate", "xEvent.max(timestamp)"], "E.": ["timestamp"], "I.": []}
_PERIODS = [
    "now",
    "today",
    "yesterday",
    "last month",
    "this year",
    "next week",
    "date(2025, 3, 29)",
    "date(2024, 2, 29)",
]
_UNITS = ["hours", "days", "weeks", "months", "years"]


def quoted(word: str) -> str:
    """Write a string literal."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text(scope: str) -> st.SearchStrategy[str]:
    return st.sampled_from([scope + one for one in _TEXTS[scope]])


def _number(scope: str) -> st.SearchStrategy[str]:
    field = st.sampled_from([scope + one for one in (*_LONGS[scope], *_DOUBLES[scope])])
    literal = st.sampled_from(["0", "1", "2", "7", "0.5", "-3", "250"])
    return st.recursive(
        field | literal,
        lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from(list("+-*/%")), inner),
        max_leaves=3,
    )


def _reference(scope: str) -> st.SearchStrategy[str]:
    fields = [scope + one for one in _TIMES[scope]] or ["joinedAt"]
    return st.sampled_from([*_PERIODS, *fields])


def _time_test(scope: str) -> st.SearchStrategy[str]:
    reference = _reference(scope)
    return st.one_of(
        st.builds(
            "{} {} {} {} {}".format,
            st.sampled_from(_COMPARATORS),
            st.integers(0, 3),
            st.sampled_from(_UNITS),
            st.sampled_from(["before", "after", "from"]),
            reference,
        ),
        st.builds("{} {}".format, st.sampled_from(["before", "after", "on"]), reference),
        st.builds("between {} and {}".format, reference, reference),
    ).flatmap(lambda test: st.sampled_from([test, test, f"ignoreYear {test}"]))


def _leaf(scope: str) -> st.SearchStrategy[str]:
    word = st.sampled_from([*WORDS, *TYPES, "A", "Men"]).map(quoted)
    text = _text(scope)
    methods = st.sampled_from(
        ["startsWith", "endsWith", "contains", "equals", "doesNotContain", "notEqualTo", "doesNotEndWith"]
    )
    options = [
        st.builds("{} {} {}".format, text, st.sampled_from(_COMPARATORS), word | text),
        st.builds("{} {} {}".format, _number(scope), st.sampled_from(_COMPARATORS), _number(scope)),
        st.builds("{}.{}({}{})".format, text, methods, word | text, st.sampled_from(["", ", false"])),
        st.builds(
            "{} {} [{}]".format,
            text,
            st.sampled_from(["in", "notIn"]),
            st.lists(word, min_size=1, max_size=3).map(", ".join),
        ),
        st.builds(
            "{}.{}()".format,
            text | _number(scope).filter(lambda one: "(" not in one),
            st.sampled_from(["isNull", "isNotNull"]),
        ),
        st.builds("{} like {}".format, text, st.sampled_from(['"%o%"', '"a_"', '"%"', '"\\\\%"'])),
    ]
    times = [scope + one for one in _TIMES[scope]]
    if times:
        options.append(st.builds("{} occurs {}".format, st.sampled_from(times), _time_test(scope)))
    return st.one_of(options)


def _all_of(leaf: st.SearchStrategy[str], leaves: int = 3) -> st.SearchStrategy[str]:
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.builds("({} and {})".format, inner, inner),
            st.builds("({} or {})".format, inner, inner),
            st.builds("not ({})".format, inner),
        ),
        max_leaves=leaves,
    )


_event = _all_of(_leaf("E."), 2)
_item = _all_of(_leaf("I."), 2)
_bare_event = _event.map(lambda one: one.replace("E.", ""))
_bindings = st.one_of(
    st.builds("E from xEvent where {}".format, _event),
    st.builds("E from xEvent where {}, I from E.items where {}".format, _event, _item),
    st.builds("E from xEvent, I from E.items where {}".format, _item),
    st.builds("D from xEvent where D.value >= 0, E from xEvent where E != D and {}".format, _event),
)
_count = st.sampled_from(
    ["", "", "", " COUNT(2)", " COUNT(= 1)", " COUNT(<= 1)", " COUNT(between 1 and 2)", " COUNT(all)"]
)
_when = st.sampled_from(["", "", " WHEN(<= 30 days before now)", " WHEN(today)", " WHEN(after yesterday)"])
_gap = st.sampled_from(["", "", "GAP(<= 24 hours), ", "GAP(> 1 hours), ", "GAP(<= 30 days), "])
_what = st.one_of(st.just("true"), _bare_event.filter(lambda one: "occurs" not in one))


@st.composite
def _chains(draw: Draw) -> str:
    links = []
    for index in range(draw(st.integers(1, 4))):  # type: ignore[arg-type,call-overload]  # draws a number
        negated = index > 0 and draw(st.booleans()) and draw(st.booleans())  # type: ignore[arg-type]
        body = f"WHAT({draw(_what)}){draw(_when)}"
        gap = draw(_gap) if index else ""
        links.append(f"{gap}C{index}: {'not ' if negated else ''}{body}{'' if negated else draw(_count)}")
    return f"CHAIN(xEvent, timestamp, [{', '.join(links)}])"


_groups = st.builds(
    "xEvent[{}].groupBy(eventType).map((K, G) => G.count()).{}() > {}".format,
    _bare_event,
    st.sampled_from(["max", "min", "sum", "count"]),
    st.integers(0, 2),
)
_arrays = st.one_of(
    st.builds(
        "perks.{}({})".format,
        st.sampled_from(["intersects", "subsetOf", "supersetOf"]),
        st.sampled_from(["wishes", '["gold"]']),
    ),
    st.builds("xEvent[{}].count() {} {}".format, _bare_event, st.sampled_from(_COMPARATORS), st.integers(0, 3)),
    st.builds("xEvent.{}({})".format, st.sampled_from(["exists", "forall"]), _bare_event),
    st.builds("xEvent.topN(timestamp, {})[{}].count() > 0".format, st.integers(0, 3), _bare_event),
    st.builds(
        "xEvent[{}].items[{}].{}(quantity) > 1".format,
        _bare_event,
        _item.map(lambda one: one.replace("I.", "")),
        st.sampled_from(["sum", "max"]),
    ),
    st.builds("(select {}).count() {} {}".format, _bindings, st.sampled_from(_COMPARATORS), st.integers(0, 3)),
)

rules = _all_of(
    st.one_of(
        _leaf(""),
        _chains(),
        _arrays,
        _groups,
        st.builds("({} {})".format, st.sampled_from(["select", "exists", "forall", "none", "one"]), _bindings),
        st.sampled_from(['inSegment("s1")', 'inSegment("s2")']),
        st.builds("(let B = {} in (B > 0 or B.isNull()))".format, _number("")),
        st.builds("if({}, {}, {}) > 1".format, _leaf(""), _number(""), _number("")),
    ),
    4,
)
