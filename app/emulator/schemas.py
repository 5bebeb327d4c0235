"""The union schemas of an organization, as documents for the registry and as a schema for the rule checker."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from app.evaluation import schema as sample_schema
from app.pql.schema import Schema, XDMSchema

Document = dict[str, Any]


@lru_cache(maxsize=64)
def union_documents(namespace: str) -> tuple[Document, ...]:
    """Return the union schemas for a tenant namespace. They are shared: do not change them."""
    documents = (
        sample_schema.profile_union(namespace),
        sample_schema.event_union(namespace),
        *sample_schema.lookups(namespace).values(),
    )
    return tuple({**document, "meta:altId": _alternative_id(document["$id"])} for document in documents)


@lru_cache(maxsize=64)
def checker_schema(namespace: str) -> Schema:
    """Return what the rule checker knows about the fields of an organization."""
    return XDMSchema.from_json_schema(
        sample_schema.profile_union(namespace),
        sample_schema.event_union(namespace),
        lookups=sample_schema.lookups(namespace),
    )


def _alternative_id(schema_id: str) -> str:
    """Return the id in the registry's dotted form: ``_xdm.context.profile__union``."""
    path = schema_id.removeprefix("https://ns.adobe.com/")
    return "_" + path.replace("/", ".")
