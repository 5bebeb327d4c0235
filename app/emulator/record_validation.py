"""Whether a record fits the union schema of its class, said as AEP's streaming validation says it.

A violation has a pointer into the schema, one into the record, and a message; after five the rest is not looked at.
Source: Adobe's page on streaming validation (read November 2026); the wording of single messages follows its example.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from typing import Any, Final

from app.evaluation.namespaces import NAMESPACES

MAX_VIOLATIONS: Final = 5
MAX_EVENT_BYTES: Final = 10_000
MAX_PROFILE_BYTES: Final = 100_000

MAX_IDENTITIES: Final = 50
_IDENTITY_MAP: Final = "identityMap"
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}
_WORDS: Final = {str: "String", int: "Long", float: "Double", bool: "Boolean", dict: "JSONObject", list: "JSONArray"}
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d\Z")


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong at one place of a record."""

    schema: str
    place: str
    keyword: str
    message: str

    def document(self) -> dict[str, Any]:
        """Return it in AEP's shape."""
        return {
            "schemaLocation": self.schema,
            "pointerToViolation": self.place,
            "causingExceptions": [],
            "keyword": self.keyword,
            "message": self.message,
        }


def violations(schema: Mapping[str, Any], record: Mapping[str, Any], *, is_event: bool) -> list[Violation]:
    """Return what is wrong with a record, five things at most; nothing for one that fits."""
    return list(islice(_all(schema, record, is_event), MAX_VIOLATIONS))


def _all(schema: Mapping[str, Any], record: Mapping[str, Any], is_event: bool) -> Iterator[Violation]:
    for name in ("_id", "timestamp") if is_event else ():
        if name not in record:
            yield Violation("#", "#", "required", f"required key [{name}] not found")
    yield from _identities(record.get(_IDENTITY_MAP))
    rest = {name: value for name, value in record.items() if name != _IDENTITY_MAP}
    yield from _value(schema, rest, "#", "#")


def _value(schema: Mapping[str, Any], value: Any, where: str, place: str) -> Iterator[Violation]:
    kind = schema.get("type", "object")
    expected = _TYPES[kind]
    if not isinstance(value, expected) or (isinstance(value, bool) and kind != "boolean"):
        found = "Null" if value is None else _WORDS.get(type(value), type(value).__name__)
        yield Violation(where, place, "type", f"expected type: {kind.capitalize()}, found: {found}")
        return
    if "enum" in schema and value not in schema["enum"]:
        yield Violation(where, place, "enum", f"{value} is not a valid enum value: {', '.join(schema['enum'])}")
    if isinstance(value, str) and "format" in schema and not _has_format(schema["format"], value):
        yield Violation(where, place, "format", f"[{value}] is not a valid {schema['format']}")
    if isinstance(value, dict):
        yield from _members(schema, value, where, place)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _value(schema.get("items", {}), item, f"{where}/items", f"{place}/{index}")


def _members(schema: Mapping[str, Any], value: Mapping[str, Any], where: str, place: str) -> Iterator[Violation]:
    known = schema.get("properties", {})
    for name, member in value.items():
        if name in known:
            yield from _value(known[name], member, f"{where}/properties/{name}", f"{place}/{name}")
        elif "additionalProperties" in schema:
            yield from _value(schema["additionalProperties"], member, where, f"{place}/{name}")
        else:
            yield Violation(where, place, "additionalProperties", f"extraneous key [{name}] is not permitted")


def _has_format(name: str, text: str) -> bool:
    try:
        if name == "date":
            return bool(_DAY.match(text)) and bool(date.fromisoformat(text))
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _identities(found: Any) -> Iterator[Violation]:
    place = f"#/{_IDENTITY_MAP}"
    if found is None:
        return
    if not isinstance(found, dict):
        yield Violation(place, place, "type", f"expected type: JSONObject, found: {_WORDS.get(type(found), 'Null')}")
        return
    listed = sum(len(identities) for identities in found.values() if isinstance(identities, list))
    if listed > MAX_IDENTITIES:
        message = f"a graph of {listed} identities is left out: it may have {MAX_IDENTITIES} at most"
        yield Violation(place, place, "maxItems", message)
    for namespace, identities in found.items():
        if namespace not in NAMESPACES:
            known = ", ".join(NAMESPACES)
            yield Violation(place, f"{place}/{namespace}", "enum", f"unknown identity namespace, known are {known}")
        elif not isinstance(identities, list) or not all(_is_identity(one) for one in identities):
            message = "an identity is an object with a text as id and perhaps a boolean as primary"
            yield Violation(place, f"{place}/{namespace}", "type", message)


def _is_identity(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("id"), str) and bool(value["id"])
