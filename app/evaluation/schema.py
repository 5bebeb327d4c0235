"""The sample's XDM documents, as the Schema Registry's union endpoint serves them: JSON Schema with XDM's annotations.

Source of the shape: Adobe's Schema Registry API guide (unions, field types), read as JSON Schema: ``type``, ``format``,
``properties``, ``items``, ``enum`` with ``meta:enum``, ``meta:xdmType``; maps are ``additionalProperties``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.aep.paths import EXPERIENCE_EVENT_UNION, PROFILE_UNION
from app.evaluation import model
from app.evaluation.model import Field, LookupEntity, Path
from app.pql.memberships import MEMBERSHIP_FIELD

Document = dict[str, Any]

_JSON_TYPES = {
    "string": {"type": "string", "meta:xdmType": "string"},
    "integer": {"type": "integer", "meta:xdmType": "int"},
    "number": {"type": "number", "meta:xdmType": "number"},
    "boolean": {"type": "boolean", "meta:xdmType": "boolean"},
    "date": {"type": "string", "format": "date", "meta:xdmType": "date"},
    "date-time": {"type": "string", "format": "date-time", "meta:xdmType": "date-time"},
}


def profile_union(namespace: str) -> Document:
    """Return the union of all profile schemas of an organization. ``xEvent`` is no part of it: see `event_union`."""
    properties = _properties(model.PROFILES.fields, namespace)
    _place(properties, model.path_in(model.PERKS_PATH, namespace), _array(_perk(), "Perks of the level"))
    _place(properties, model.IDENTITY_MAP_PATH, _identity_map())
    _place(properties, (MEMBERSHIP_FIELD,), _segment_membership())
    return _union(PROFILE_UNION, "https://ns.adobe.com/xdm/context/profile", "XDM Individual Profile", properties)


def event_union(namespace: str) -> Document:
    """Return the union of all experience event schemas of an organization."""
    properties = _properties(model.EVENTS.fields, namespace)
    items = _object(_properties(model.ITEMS.fields, namespace))
    _place(properties, model.ITEMS_PATH, _array(items, "Product list items"))
    class_id = "https://ns.adobe.com/xdm/context/experienceevent"
    return _union(EXPERIENCE_EVENT_UNION, class_id, "XDM ExperienceEvent", properties)


def lookups(namespace: str) -> dict[str, Document]:
    """Return the documents of the record classes that relations may point to, by dotted class name."""
    return {
        ".".join(model.path_in(lookup.class_name, namespace)): _lookup(lookup, namespace) for lookup in model.LOOKUPS
    }


def _lookup(lookup: LookupEntity, namespace: str) -> Document:
    class_id = "https://ns.adobe.com/" + "/".join(
        part.strip("_") for part in model.path_in(lookup.class_name, namespace)
    )
    document = _union(f"{class_id}__union", class_id, lookup.title, _properties(lookup.entity.fields, namespace))
    return document | {"meta:primaryIdentity": "/" + "/".join(lookup.key.path_in(namespace))}


def _union(schema_id: str, class_id: str, title: str, properties: Document) -> Document:
    return {
        "$id": schema_id,
        "$schema": "http://json-schema.org/draft-06/schema#",
        "title": title,
        "type": "object",
        "meta:class": class_id,
        "meta:resourceType": "unions",
        "meta:xdmType": "object",
        "version": "1.0",
        "properties": properties,
    }


def _properties(fields: Iterable[Field], namespace: str) -> Document:
    properties: Document = {}
    for field in fields:
        _place(properties, field.path_in(namespace), _scalar(field))
    return properties


def _place(properties: Document, path: Path, document: Document) -> None:
    """Put a field's document at its path, making the objects on the way."""
    for part in path[:-1]:
        properties = properties.setdefault(part, _object({}))["properties"]
    properties[path[-1]] = document


def _scalar(field: Field) -> Document:
    document = {"title": field.title, **_JSON_TYPES[field.type]}
    return document | _enumerated(field.codes.values) if field.codes and field.closed else document


def _enumerated(values: Iterable[str]) -> Document:
    listed = list(values)
    return {"enum": listed, "meta:enum": {value: value for value in listed}}


def _object(properties: Document) -> Document:
    return {"type": "object", "meta:xdmType": "object", "properties": properties}


def _array(items: Document, title: str) -> Document:
    return {"title": title, "type": "array", "meta:xdmType": "array", "items": items}


def _perk() -> Document:
    return _JSON_TYPES["string"] | _enumerated(model.PERK.values)


def _identity_map() -> Document:
    identities = _array(_object(_properties(model.IDENTITIES.fields, "")), "Identities of one namespace")
    return {
        "title": "Identities by namespace",
        "type": "object",
        "meta:xdmType": "map",
        "additionalProperties": identities,
    }


def _segment_membership() -> Document:
    """Return the field in which AEP shows who is in which segment; it is kept apart from the profiles' tables."""
    membership = {
        "type": "object",
        "meta:xdmType": "object",
        "properties": {
            "lastQualificationTime": _JSON_TYPES["date-time"] | {"title": "Since when"},
            "status": _JSON_TYPES["string"] | {"title": "Status", "enum": ["existing", "exited", "realized"]},
        },
    }
    of_namespace = {"type": "object", "meta:xdmType": "map", "additionalProperties": membership}
    return {
        "title": "Segment membership by namespace",
        "type": "object",
        "meta:xdmType": "map",
        "additionalProperties": of_namespace,
    }
