"""Rules that Hypothesis makes over the sample's own fields: what the first slice of the language can say."""

from __future__ import annotations

from hypothesis import strategies as st

NAMESPACE = "_wwfovlab011"

_TEXT_FIELDS = ["person.gender", "homeAddress.countryCode", "homeAddress.city", f"{NAMESPACE}.loyalty.level"]
_NUMBER_FIELDS = [f"{NAMESPACE}.loyalty.points"]
_WORDS = ["gold", "GOLD", "bronze", "female", "DE", "US", "", "o", "%", "_", "'; DROP TABLE profiles; --", 'quo"te']


def quoted(word: str) -> str:
    """Write a string literal."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


_word = st.sampled_from(_WORDS).map(quoted)
_text_field = st.sampled_from(_TEXT_FIELDS)
_flag = st.sampled_from(["", ", false", ", true"])
_method = st.sampled_from(
    [
        "startsWith",
        "endsWith",
        "contains",
        "equals",
        "doesNotStartWith",
        "doesNotEndWith",
        "doesNotContain",
        "notEqualTo",
    ]
)
_comparator = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])


def _tests(text_field: st.SearchStrategy[str], number_field: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{} {} {}".format, text_field, st.sampled_from(["=", "!="]), _word),
        st.builds("{} {} {}".format, number_field, _comparator, st.integers(-5, 5000)),
        st.builds("{}.{}({}{})".format, text_field, _method, _word, _flag),
        st.builds(
            "{} {} [{}]".format,
            text_field,
            st.sampled_from(["in", "notIn"]),
            st.lists(_word, min_size=1).map(", ".join),
        ),
        st.builds("{}.{}()".format, text_field, st.sampled_from(["isNull", "isNotNull"])),
    )


_profile_test = _tests(_text_field, st.sampled_from(_NUMBER_FIELDS))
_window = st.builds(
    "<= {} {} before now".format, st.integers(0, 400), st.sampled_from(["hours", "days", "weeks", "months"])
) | st.sampled_from(["today", "yesterday", "this month", "last year", "before date(2025, 6, 1)", "after today"])
_event_type = st.sampled_from(["commerce.purchases", "commerce.productViews", "nothing"]).map(quoted)
_event_test = st.one_of(
    st.builds("select E from xEvent where E.eventType = {} and E.timestamp occurs {}".format, _event_type, _window),
    st.builds("exists E from xEvent where E.eventType = {}".format, _event_type),
    st.builds("CHAIN(xEvent, timestamp, [C0: WHAT(eventType = {}) WHEN({})])".format, _event_type, _window),
    st.builds("CHAIN(xEvent, timestamp, [C0: WHAT(eventType.equals({}, false))])".format, _event_type),
    st.builds(
        "select E from xEvent where E.eventType = {}, I from E.productListItems where I.quantity >= {}".format,
        _event_type,
        st.integers(1, 3),
    ),
).map("({})".format)

rules = st.recursive(
    _profile_test | _event_test,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=6,
)
