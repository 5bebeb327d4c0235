"""JSON documents of pql/json before they have a meaning: limits, duplicate keys, and access that names its place."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from app.pql.diagnostics import Diagnostic, Severity, error, rejection
from app.pql.origin import Place, show_place
from app.pql.spans import NOWHERE, Span

MAX_JSON_BYTES: Final = 1_000_000
MAX_JSON_DEPTH: Final = 400
MAX_JSON_VALUES: Final = 100_000

_LONGEST_SHOWN: Final = 60
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def fail(code: str, message: str, place: Place, hint: str | None = None) -> NoReturn:
    """Refuse a document for what stands at ``place``."""
    raise rejection("", [Diagnostic(Severity.ERROR, code, message, NOWHERE, hint, show_place(place))])


def note(code: str, message: str, place: Place, hint: str | None = None) -> Diagnostic:
    """Return a remark that keeps nothing from being used."""
    return Diagnostic(Severity.INFORMATION, code, message, NOWHERE, hint, show_place(place))


def load(value: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the document that ``value`` is, or holds as text, after measuring it.

    Raises:
        PQLError: it is too large, too deep, no JSON, or no object; the place is given in the text or in the tree.

    """
    document = _decoded(value) if isinstance(value, str) else value
    _measure(document)
    if not isinstance(document, Mapping):
        fail("json-kind", f"A rule in pql/json is an object, not {kind_of(document)}.", None, _HINT)
    return document


_HINT = 'It begins like {"nodeType":"fnApply","fnName":"=","params":[...]}.'


def _decoded(text: str) -> object:
    if len(text) > MAX_JSON_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_JSON_BYTES:
        fail("text-too-long", "The rule is longer than 1 MB of JSON.", None, "Split it into several segments.")
    try:
        return json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_constant)
    except json.JSONDecodeError as problem:
        hint = "In the format pql/json the value holds a JSON tree; a rule in words has the format pql/text."
        span = Span(problem.pos, min(problem.pos + 1, len(text)))
        raise rejection(text, [error("json-syntax", f"This is not JSON: {problem.msg}.", span, hint)]) from None
    except RecursionError:
        fail_too_deep()
    except ValueError:  # an integer of more digits than Python converts
        fail("integer-range", "A number in this JSON has too many digits.", None)


def fail_too_deep() -> NoReturn:
    """Refuse a document for its nesting."""
    hint = "Flatten the rule, or move a part of it into a segment of its own and refer to it with inSegment."
    fail("too-deep", "The JSON tree is nested too deep.", None, hint)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for index, key in enumerate(keys) if key in keys[:index])
        fail("duplicate-key", f"The key {shown(twice)} is there twice in one JSON object.", None)
    return members


def _no_constant(name: str) -> NoReturn:
    fail("json-syntax", f"{name} is not a number of JSON.", None)


def _measure(document: object) -> None:
    """Refuse what is too large or too deep, without recursion."""
    waiting, seen = [(document, 1)], 0
    while waiting:
        current, depth = waiting.pop()
        seen += 1
        if depth > MAX_JSON_DEPTH:
            fail_too_deep()
        if seen > MAX_JSON_VALUES:
            fail("too-large", f"The JSON tree has more than {MAX_JSON_VALUES} values.", None)
        if isinstance(current, Mapping):
            for key, value in current.items():
                if not isinstance(key, str):
                    fail("json-kind", f"A key of a JSON object is {kind_of(key)}.", None)
                _check_characters(key)
                waiting.append((value, depth + 1))
        elif isinstance(current, list | tuple):
            waiting.extend((value, depth + 1) for value in current)
        elif isinstance(current, str):
            _check_characters(current)
        elif isinstance(current, float) and not math.isfinite(current):
            fail("double-range", "This number is too large for a double.", None)


def _check_characters(text: str) -> None:
    if not text.isascii() and _SURROGATE.search(text):
        fail("lone-surrogate", "Half of a surrogate pair is not a character.", None)


def kind_of(value: object) -> str:
    """Return what a value is, in the words of JSON."""
    match value:
        case None:
            return "null"
        case bool():
            return "a Boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list() | tuple():
            return "an array"
        case Mapping():
            return "an object"
    return f"a {type(value).__name__}"


def shown(text: str) -> str:
    """Return a text in quotes as a message shows it, shortened."""
    return json.dumps(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "...")


def write(document: Mapping[str, Any]) -> str:
    """Return a document as compact JSON text. Raises PQLError when it is beyond what `load` accepts."""
    _measure(document)
    try:
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except RecursionError:
        fail_too_deep()
    if len(text.encode("utf-8", "surrogatepass")) > MAX_JSON_BYTES:
        fail("text-too-long", "The rule is longer than 1 MB of JSON.", None, "Split it into several segments.")
    return text
