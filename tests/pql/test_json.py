"""pql/json to the tree and back."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import pql
from app.errors import PQLError
from app.evaluation.schema import event_union, profile_union
from app.pql import ast
from app.pql.functions import FUNCTIONS
from app.pql.schema import XDMSchema
from tests.pql.rules import NAMESPACE, rules

SCHEMA = XDMSchema.from_json_schema(profile_union(NAMESPACE), event_union(NAMESPACE))
PROFILE = {"nodeType": "parameterReference", "position": 1}


def field(name: str, base: dict[str, Any] = PROFILE) -> dict[str, Any]:
    for one in name.split("."):
        base = {"nodeType": "fieldLookup", "fieldName": one, "object": base}
    return base


def literal(kind: str, value: object) -> dict[str, Any]:
    return {"nodeType": "literal", "literalType": kind, "value": value}


def apply(name: str, *params: object) -> dict[str, Any]:
    return {"nodeType": "fnApply", "fnName": name, "params": list(params)}


def element_scope(body: dict[str, Any]) -> dict[str, Any]:
    return {"nodeType": "lambda", "params": [], "body": body}


GOLD = apply("=", field("loyalty.level"), literal("String", "gold"))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ('loyalty.level = "gold"', GOLD),
        (
            'loyalty.level in ["gold", "platinum"]',
            apply("in", field("loyalty.level"), literal("List", ["gold", "platinum"])),
        ),
        (
            'loyalty.level.equals("Gold", false)',
            apply("equals", field("loyalty.level"), literal("String", "Gold"), literal("Boolean", False)),
        ),
        ('inSegment("c0ffee")', apply("inSegment", literal("String", "c0ffee"))),
        (
            'select E from xEvent where E.eventType = "commerce.purchases"',
            {
                "nodeType": "select",
                "variables": [
                    {
                        "nodeType": "varDecl",
                        "varName": "E",
                        "from": field("xEvent"),
                        "where": apply(
                            "=",
                            field("eventType", {"nodeType": "varRef", "varName": "E"}),
                            literal("String", "commerce.purchases"),
                        ),
                    }
                ],
            },
        ),
        (
            "productListItems[quantity > 2 and ^.x = 1]",
            apply(
                "filter",
                field("productListItems"),
                element_scope(
                    apply(
                        "and",
                        apply(">", field("quantity"), literal("Integer", 2)),
                        apply("=", field("x", {**PROFILE, "up": 1}), literal("Integer", 1)),
                    )
                ),
            ),
        ),
        (
            "loyalty.joinDate occurs <= 14 days before now",
            {
                "nodeType": "occurs",
                "timestamp": field("loyalty.joinDate"),
                "when": {
                    "nodeType": "timeQualification",
                    "comparison": literal("Comparison", "<="),
                    "duration": {
                        "nodeType": "duration",
                        "count": literal("Integer", 14),
                        "unit": literal("TimeUnit", "days"),
                    },
                    "direction": literal("TimeDirection", "before"),
                    "reference": literal("Timestamp", "now"),
                },
            },
        ),
        (
            "loyalty.joinDate occurs last month",
            {
                "nodeType": "occurs",
                "timestamp": field("loyalty.joinDate"),
                "when": {"nodeType": "range", "period": literal("Timestamp", "last month")},
            },
        ),
        (
            (
                'CHAIN(xEvent, timestamp, [C0: WHAT(eventType.equals("v", false)) WHEN(today) COUNT(2), '
                "GAP(<= 2 hours), C1: not WHAT(true)])"
            ),
            {
                "nodeType": "chain",
                "collection": field("xEvent"),
                "orderBy": {"nodeType": "fieldLookup", "fieldName": "timestamp"},
                "elements": [
                    {
                        "nodeType": "element",
                        "name": "C0",
                        "count": 2,
                        "what": element_scope(
                            apply("equals", field("eventType"), literal("String", "v"), literal("Boolean", False))
                        ),
                        "when": {"nodeType": "range", "period": literal("Timestamp", "today")},
                    },
                    {
                        "nodeType": "gap",
                        "comparison": literal("Comparison", "<="),
                        "duration": {
                            "nodeType": "duration",
                            "count": literal("Integer", 2),
                            "unit": literal("TimeUnit", "hours"),
                        },
                    },
                    {
                        "nodeType": "element",
                        "name": "C1",
                        "negated": True,
                        "what": element_scope(literal("Boolean", True)),
                    },
                ],
            },
        ),
        ("-loyalty.points > -3", apply(">", apply("negate", field("loyalty.points")), literal("Integer", -3))),
        ("a@{store}.city = 2.0", apply("=", field("a@{store}.city"), literal("Double", 2.0))),
        ("[1, x] = [2]", apply("=", apply("list", literal("Integer", 1), field("x")), literal("List", [2]))),
    ],
)
def test_text_and_json_say_the_same(text: str, tree: dict[str, Any]) -> None:
    assert pql.to_json(pql.parse(text)) == tree
    assert pql.format_query(pql.parse_json(tree)) == text
    assert pql.parse_json(json.dumps(tree)) == pql.parse_json(tree)
    assert pql.parse_json(tree).body == pql.parse(text).body


RULES = [
    "xEvent[productListItems[SKU = 1 and ^.commerce.purchases.value > 0 and ^^.a.b = c]].count() >= 2",
    "let N = xEvent[c > 0].count() in N > 1 and -N <= 5",
    "(sum I.q over E from xEvent where E.v > 0, I from E.p) > 10",
    'x.groupBy(SKU).map((S, L) => mapEntry(S, L.sum(quantity))).get("a") > 3',
    'x.map({"a": this.count(), "b": 1}).count() = 2',
    "xEvent.topN(timestamp, 3).head().x = [1, 2.0, y]",
    "forall I from w.i where I.p <= 20",
    "today.getMonth() = 3 and a occurs between date(2024, 1, 1) and yesterday",
    "a occurs ignoreYear today or a occurs after now or a occurs = 1 century from b",
    "select E from xEvent where xEvent[this.E = 1 and `last`.b]",
    "xEvent[`now` = now and `and`.`a-b` = `select`]",
    (
        "CHAIN(xEvent, a.b, [C0: WHAT(x = 1), C1: WHAT(C0.x = x) WHEN(ignoreYear today), C2: WHAT(true) COUNT(all), "
        "C3: WHAT(true) COUNT(between 2 and 4), C4: WHAT(C3.a = C1.b) COUNT(<= 3)])"
    ),
    "xEvent.exists(a = 1) and xEvent.exists() and (exists E from xEvent where E.a = 1)",
    'stringCompare("equals", a, ["b", "c"], false) and if(a, b, c) and a notIn [[1], [2]]',
    "a - (b - c) * d / e % f = -9223372036854775808",
    'a = "\\u2028\\"\\\\\\n😀" and a like "%x_"',
]


@pytest.mark.parametrize("text", RULES)
def test_every_construct_survives_the_way_there_and_back(text: str) -> None:
    _assert_stable(text)


@given(rules)
@settings(max_examples=150, deadline=None)
def test_generated_rules_survive_the_way_there_and_back(text: str) -> None:
    _assert_stable(text)


def _assert_stable(text: str) -> None:
    query = pql.parse(text)
    written = pql.to_json_text(query)
    again = pql.parse_json(written)
    assert pql.format_query(again) == pql.format_query(query)
    assert again.body == query.body
    assert pql.to_json_text(again) == written
    assert pql.to_json_text(pql.parse(pql.format_query(again))) == written


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda one: one.name)
def test_every_functions_example_survives(function: Any) -> None:
    _assert_stable(function.example)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("(P) => P.x = 1 and y[P.a = b].count() > 0", "x = 1 and y[^.a = b].count() > 0"),
        ("$1.x = 1 and y[$1.a = this.b]", "x = 1 and y[^.a = b]"),
    ],
)
def test_the_root_takes_its_implicit_form(text: str, normal: str) -> None:
    again = pql.parse_json(pql.to_json(pql.parse(text)))
    assert pql.format_query(again) == normal
    assert pql.to_json(again) == pql.to_json(pql.parse(text))


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        (apply("NOT", GOLD), 'not (loyalty.level = "gold")'),
        (
            apply("and", apply("and", field("a"), field("b")), apply("AND", field("c"), apply("or", field("d")))),
            "a and b and c and d",
        ),
        ({"nodeType": "fieldLookup", "fieldName": "x"}, "x"),
        (field("x", literal("xdmobject", "profile")), "x"),
        (
            {
                "nodeType": "quantification",
                "quantifier": "none",
                "variables": [{"nodeType": "varDecl", "varName": "E", "from": field("xEvent")}],
            },
            "not (exists E from xEvent)",
        ),
        (
            {
                "nodeType": "quantification",
                "quantifier": "one",
                "variables": [{"nodeType": "varDecl", "varName": "E", "from": field("xEvent")}],
            },
            "(select E from xEvent).count() = 1",
        ),
        (
            apply("map", field("a"), {"nodeType": "fnCreate", "params": [{"varName": "K"}], "body": field("b")}),
            "a.map((K) => b)",
        ),
        (apply("=", field("a"), literal("DOUBLE", 2)), "a = 2.0"),
        (apply("=", field("a"), {"nodeType": "literal", "value": [1, "x", True, 2.5]}), 'a = [1, "x", true, 2.5]'),
        (apply(">", field("a"), literal("datetime", "2024-02-29")), "a > date(2024, 2, 29)"),
        (apply(">", field("a"), literal("DateTime", "2024-02-29T10:00:00Z")), 'a > "2024-02-29T10:00:00Z"'),
        (apply("modelInstances", literal("String", "_xdm.context.p;version=1")), "@{_xdm.context.p;version=1}"),
        (
            {
                "nodeType": "lambda",
                "params": [{"varName": "P"}],
                "body": field("x", {"nodeType": "varRef", "varName": "P"}),
            },
            "x",
        ),
    ],
)
def test_old_and_loose_spellings_are_read(tree: dict[str, Any], text: str) -> None:
    assert pql.format_query(pql.parse_json(tree)) == text


def test_old_prefixes_are_left_out_with_a_note() -> None:
    query = pql.parse_json(apply("=", field("xdm:person.xdm:gender"), literal("String", "female")))
    assert pql.format_query(query) == 'person.gender = "female"'
    checked = pql.check(query, SCHEMA)
    assert [(one.code, one.place) for one in checked.diagnostics] == [
        ("old-prefix", "$.params[0].fieldName"),
        ("old-prefix", "$.params[0].object.fieldName"),
    ]


def test_unknown_keys_are_written_back_where_they_were_and_harm_no_equality() -> None:
    tree = {
        **apply(
            "=",
            {**field("level", {**field("loyalty", {**PROFILE, "origin": 4}), "label": [1]}), "note": {"a": "b"}},
            {**literal("String", "gold"), "source": "ui"},
        ),
        "comment": "c",
    }
    query = pql.parse_json(tree)
    assert pql.to_json(query) == tree
    assert query == pql.parse('loyalty.level = "gold"')
    assert hash(query) == hash(pql.parse_json(GOLD))


@pytest.mark.parametrize(
    ("tree", "code", "said"),
    [
        ("{", "json-syntax", "Line 1, column 2"),
        ("[]", "json-kind", "an array"),
        ('{"nodeType":"fnApply","nodeType":"fnApply"}', "duplicate-key", "nodeType"),
        ({"fnName": "="}, "node-type", "At $: This JSON object has no nodeType"),
        (apply("=", GOLD, {"nodeType": "fieldLook"}), "node-type", 'At $.params[1]: The node type "fieldLook"'),
        (apply("not"), "argument-count", '"not" has one param, not 0'),
        ({"nodeType": "fnApply", "fnName": "="}, "missing-key", "At $: This fnApply node has no params"),
        (apply("not", field("x", {"nodeType": "literal"})), "missing-key", "At $.params[0].object: This literal node"),
        (apply("not", {**field("x"), "fieldName": 7}), "json-kind", "fieldName of a fieldLookup node is a string"),
        (apply("=", field("a"), literal("Integer", "5")), "literal", "At $.params[1].value: A Integer literal"),
        (apply("=", field("a"), literal("Float16", 5)), "literal-type", '"Float16"'),
        (apply("=", field("a"), literal("Integer", 2**63)), "integer-range", "64 bits"),
        (apply("=", field("a"), {"nodeType": "varRef", "varName": "E"}), "unbound-variable", '"E"'),
        (apply("filter", field("a"), field("b")), "node-kind", "is a lambda"),
        (apply("=", field("a"), {"nodeType": "gap"}), "node-kind", "A gap node has no value"),
        ({"nodeType": "select", "variables": [GOLD]}, "node-kind", "varDecl, not fnApply"),
        ({"nodeType": "select", "variables": []}, "argument-count", "empty"),
        (apply("=", field("a"), literal("String", "\ud800")), "lone-surrogate", "surrogate"),
    ],
)
def test_faults_name_the_node_type_and_the_place(tree: Any, code: str, said: str) -> None:
    with pytest.raises(PQLError) as refusal:
        pql.parse_json(tree)
    assert refusal.value.diagnostics[0].code == code
    assert said in refusal.value.detail


def test_what_the_checker_finds_is_placed_in_the_json() -> None:
    tree = apply("and", GOLD, apply("=", field(f"{NAMESPACE}.loyalty.levl"), literal("String", "gold")))
    with pytest.raises(PQLError) as refusal:
        pql.check(pql.parse_json(tree), SCHEMA)
    places = [(one.code, one.place) for one in refusal.value.diagnostics]
    assert ("unknown-field", "$.params[1].params[0]") in places


def test_an_unknown_function_is_an_error_of_the_checker_and_its_tree_is_kept() -> None:
    tree = apply("frobnicate", field("a"), literal("Integer", 1))
    query = pql.parse_json(tree)
    assert pql.to_json(query) == tree
    with pytest.raises(PQLError, match="frobnicate"):
        pql.check(query)


@pytest.mark.parametrize("text", ["count(a)", "a.frob()", "a.`and`(b)", "`a@{b}` = 1"])
def test_invalid_text_that_json_would_read_as_something_else_is_refused(text: str) -> None:
    with pytest.raises(PQLError) as refusal:
        pql.to_json(pql.parse(text))
    assert refusal.value.diagnostics[0].code == "no-json-form"


def _nested(wrap: Any, times: int) -> dict[str, Any]:
    tree: dict[str, Any] = field("a")
    for _ in range(times):
        tree = wrap(tree)
    return tree


@pytest.mark.parametrize("times", [40, 70, 200, 5_000])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: apply("not", inner),
        lambda inner: apply("and", inner, GOLD),
        lambda inner: apply("filter", inner, element_scope(field("b"))),
        lambda inner: apply("filter", field("b"), element_scope(inner)),
        lambda inner: {"nodeType": "fieldLookup", "fieldName": "b", "object": inner},
        lambda inner: apply("=", field("b"), {"nodeType": "literal", "value": [inner]}),
    ],
)
def test_depth_is_bounded_and_never_a_crash(wrap: Any, times: int) -> None:
    tree = _nested(wrap, times)
    try:
        query = pql.parse_json(tree)
    except PQLError:
        assert times >= 40
        return
    assert pql.parse(query.text).body == query.body
    assert ast.height(query.body) <= 64
    try:
        pql.parse_json("[" * times * 20)
    except PQLError as problem:
        assert problem.diagnostics[0].code in {"too-deep", "json-syntax"}


def test_a_path_of_thousands_of_steps_is_refused_by_the_writer() -> None:
    with pytest.raises(PQLError) as refusal:
        pql.to_json_text(pql.parse(".".join("a" * 5_000)))
    assert refusal.value.diagnostics[0].code == "too-deep"


def test_large_trees_are_read_in_linear_time_and_huge_ones_refused() -> None:
    def seconds(size: int) -> float:
        text = json.dumps(apply("or", *[GOLD] * size))
        started = time.process_time()
        pql.parse_json(text)
        return time.process_time() - started

    seconds(100)
    small, large = min(seconds(200) for _ in range(3)), min(seconds(1_600) for _ in range(2))
    assert large < 40 * small
    with pytest.raises(PQLError) as refusal:
        pql.parse_json(json.dumps(apply("or", *[GOLD] * 10_000)))
    assert refusal.value.diagnostics[0].code == "text-too-long"


_leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(PROFILE)
_types = st.sampled_from(
    [
        *("literal", "fieldLookup", "parameterReference", "fnApply", "varRef", "varDecl", "select", "lambda", "chain"),
        *("element", "gap", "range", "occurs", "timeQualification", "duration", "quantification", "fnCreate", "x"),
    ]
)
_keys = st.sampled_from(
    [
        *("fnName", "params", "value", "literalType", "fieldName", "object", "position", "up", "varName", "from"),
        *("where", "variables", "body", "collection", "orderBy", "elements", "name", "what", "when", "count"),
        *("countRange", "negated", "comparison", "duration", "direction", "reference", "period", "unit", "timestamp"),
    ]
)
_names = st.sampled_from(["=", "and", "not", "filter", "exists", "sum", "let", "object", "list", "date", "E", "all"])
_trees = st.recursive(
    _leaves | _names,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.builds(
            lambda kind, members: {**members, "nodeType": kind}, _types, st.dictionaries(_keys, inner, max_size=5)
        )
    ),
    max_leaves=25,
)


@given(_trees)
@settings(max_examples=300, deadline=None)
def test_no_json_does_more_than_be_refused(tree: Any) -> None:
    try:
        query = pql.parse_json(tree)
        assert pql.parse(pql.format_query(query)).body == query.body
        pql.to_json_text(query)
        pql.check(query, SCHEMA)
    except PQLError as problem:
        assert problem.diagnostics


@given(rules, st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_trees_are_refused_or_read_stably(text: str, data: st.DataObject) -> None:
    tree = pql.to_json(pql.parse(text))
    nodes = _nodes(tree)
    victim = data.draw(st.sampled_from(nodes))
    key = data.draw(st.sampled_from(sorted(victim)))
    victim[key] = data.draw(_leaves | _names | st.sampled_from(nodes[1:] or [PROFILE]).map(dict))
    try:
        query = pql.parse_json(tree)
        written = pql.to_json_text(query)
    except PQLError as problem:
        assert problem.diagnostics
        return
    assert pql.to_json_text(pql.parse_json(written)) == written


def _nodes(tree: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    waiting = [tree]
    while waiting:
        current = waiting.pop()
        if isinstance(current, dict):
            found.append(current)
            waiting.extend(current.values())
        elif isinstance(current, list):
            waiting.extend(current)
    return found
