"""What fields exist: the `Schema` that the checker asks, and the one that reads XDM documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from app.pql.types import (
    BOOLEAN,
    DATE,
    DATETIME,
    DOUBLE,
    LONG,
    STRING,
    UNKNOWN,
    ArrayType,
    MapType,
    ObjectType,
    Primitive,
    Scalar,
    Type,
)

EVENTS_FIELD = "xEvent"
"""The reserved field of the profile that holds its experience events."""

_MAX_NESTING = 40


class Schema(Protocol):
    """The fields of a sandbox's profiles, events and related records."""

    @property
    def profile(self) -> ObjectType:
        """The profile; its field ``xEvent`` is the array of events."""
        ...

    def record(self, class_name: str) -> ObjectType | None:
        """Return the records of a class that relations point to, None when the schema has no such class."""
        ...


class OpenSchema:
    """Knows nothing except that ``xEvent`` is an array: rules are checked as far as that goes."""

    _EVENT = ObjectType("ExperienceEvent", {"timestamp": DATETIME, "_id": STRING, "eventType": STRING}, is_open=True)
    _PROFILE = ObjectType("Profile", {EVENTS_FIELD: ArrayType(_EVENT)}, is_open=True)

    @property
    def profile(self) -> ObjectType:
        """A profile with any field."""
        return self._PROFILE

    def record(self, class_name: str) -> ObjectType | None:
        """Return a record with any field."""
        return ObjectType(class_name, is_open=True)


class XDMSchema:
    """The union schemas of a sandbox, as types."""

    def __init__(self, profile: ObjectType, records: Mapping[str, ObjectType]) -> None:
        self._profile = profile
        self._records = dict(records)

    @classmethod
    def from_json_schema(
        cls,
        profile_document: Mapping[str, Any],
        event_document: Mapping[str, Any],
        lookups: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> XDMSchema:
        """Return the schema that three kinds of JSON Schema documents tell.

        Args:
            profile_document: the union schema of the profile class, as the Schema Registry serves it in full.
            event_document: the union schema of the experience event class.
            lookups: for each class that relations point to, by its dotted name, the document of its records.

        What a document does not tell in a way that is understood is of unknown type; nothing in it raises.

        """
        event = _object("ExperienceEvent", event_document)
        profile = _object("Profile", profile_document)
        fields = {**profile.fields, EVENTS_FIELD: ArrayType(event)}
        records = {name: _object(name, document) for name, document in (lookups or {}).items()}
        return cls(ObjectType("Profile", fields), records)

    @property
    def profile(self) -> ObjectType:
        """The profile with its events."""
        return self._profile

    def record(self, class_name: str) -> ObjectType | None:
        """Return the records of a class."""
        return self._records.get(class_name)


_FORMATS = {"date-time": DATETIME, "date": DATE}
_XDM_TYPES: dict[str, Type] = {
    "string": STRING,
    "boolean": BOOLEAN,
    "byte": LONG,
    "short": LONG,
    "int": LONG,
    "integer": LONG,
    "long": LONG,
    "double": DOUBLE,
    "float": DOUBLE,
    "number": DOUBLE,
    "date": DATE,
    "date-time": DATETIME,
}
_JSON_TYPES: dict[str, Type] = {"string": STRING, "boolean": BOOLEAN, "integer": LONG, "number": DOUBLE}


def _object(name: str, document: Mapping[str, Any]) -> ObjectType:
    found = _type(name, document, 0)
    return found if isinstance(found, ObjectType) else ObjectType(name, is_open=True)


def _type(name: str, document: object, depth: int) -> Type:
    """Return the type that a JSON Schema tells; schemas that nest without end are unknown below 40 levels."""
    if not isinstance(document, Mapping) or depth > _MAX_NESTING:
        return UNKNOWN
    parts = [document, *(part for part in _sequence(document.get("allOf")) if isinstance(part, Mapping))]
    properties: dict[str, Any] = {}
    for part in parts:
        nested = part.get("properties")
        properties.update(nested if isinstance(nested, Mapping) else {})
    if properties:
        return ObjectType(name, {str(key): _type(str(key), value, depth + 1) for key, value in properties.items()})
    kind = _kind(document)
    if kind == "array":
        return ArrayType(_type(name, document.get("items"), depth + 1))
    if kind in {"object", "map"}:
        return _map(name, document, depth)
    return _scalar(kind, document)


def _map(name: str, document: Mapping[str, Any], depth: int) -> Type:
    values = document.get("additionalProperties")
    if isinstance(values, Mapping):
        return MapType(STRING, _type(name, values, depth + 1))
    return ObjectType(name, is_open=True)


def _scalar(kind: str, document: Mapping[str, Any]) -> Type:
    by_xdm = _XDM_TYPES.get(str(document.get("meta:xdmType") or document.get("xdm:type") or ""))
    by_format = _FORMATS.get(str(document.get("format"))) if kind == "string" else None
    type_ = by_format or by_xdm or _JSON_TYPES.get(kind, UNKNOWN)
    values = _sequence(document.get("enum"))
    if values and isinstance(type_, Scalar) and type_.primitive is Primitive.STRING:
        return Scalar(Primitive.STRING, tuple(str(value) for value in values))
    return type_


def _kind(document: Mapping[str, Any]) -> str:
    """Return the JSON type; the first that is not null where there are several."""
    kind = document.get("type")
    if kind is None and "items" in document:
        return "array"
    kinds = _sequence(kind) if not isinstance(kind, str) else (kind,)
    return next((str(one) for one in kinds if one != "null"), str(document.get("meta:xdmType") or ""))


def _sequence(value: object) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else ()
