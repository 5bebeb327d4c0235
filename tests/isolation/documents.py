"""GraphQL documents for every root field, made from the schema, so that new fields are tried by themselves.

A new kind of argument that nothing here can fill raises `UnknownArgument`, which says what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLUnionType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
    is_required_input_field,
)

from app.graphql.schema import schema

RULE = 'person.gender = "female"'
ID = "{id}"
"""Stands in variables for the id of an object, to be filled in by `filled`."""

# What fills arguments and input members, by name for texts and by type for the rest.
_TEXTS = {
    "name": "Isolation",
    "title": "Isolation",
    "description": "tried by another organization",
    "expression": RULE,
    "value": RULE,
    "action": "sandbox:segment_definition:create",
    "actorName": "author@luma.example",
    "actorId": "00000000-0000-4000-8000-000000000000",
    "entrance": "graphql",
    "sandbox": "prod",
    "resourceType": "segment_definition",
}
_NOT_SENT = {"after", "before", "idempotencyKey", "last"}
"""Cursors and keys have tests of their own; ``last`` goes not together with ``first``."""
_ONE_OF = ({"id", "aepId"}, {"version", "asOf"})
"""Of each of these groups exactly one is given."""
_SCALARS: dict[str, Any] = {"Int": 1, "Float": 1.0, "Boolean": True, "JSON": {}, "DateTime": "2026-01-31T08:00:00Z"}


class UnknownArgument(AssertionError):
    """The schema has a kind of argument that the isolation suite cannot fill."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document that runs one root field. ``takes_id`` tells whether an id of an object goes into it."""

    call: str
    text: str
    variables: dict[str, Any]

    @property
    def takes_id(self) -> bool:
        """Whether the variables have a place for an id."""
        return ID in repr(self.variables)

    def filled(self, an_id: str) -> dict[str, Any]:
        """Return the body of the request with an id in every place for one."""
        return {"query": self.text, "variables": _filled(self.variables, an_id)}


def documents(*, depth: int = 3) -> Iterator[Document]:
    """Return one document or more for each root field: one for each way to name an object."""
    built = schema._schema
    for word, root in (("query", built.query_type), ("mutation", built.mutation_type)):
        for name, field in root.fields.items() if root else ():
            for arguments in _alternatives(field):
                yield _document(word, f"{root.name}.{name}", name, field, arguments, depth)


def _alternatives(field: GraphQLField) -> Iterator[list[str]]:
    """Return the sets of arguments to try: those that exclude each other never go together."""
    names = [name for name in field.args if name not in _NOT_SENT or is_required_argument(field.args[name])]
    optional = {name for name in names if not is_required_argument(field.args[name])}
    choices = [sorted(group & optional) for group in _ONE_OF if len(group & optional) > 1]
    for chosen in product(*choices):
        yield [name for name in names if name in chosen or not any(name in choice for choice in choices)]


def _document(word: str, call: str, name: str, field: GraphQLField, arguments: list[str], depth: int) -> Document:
    declared = ", ".join(f"${one}: {field.args[one].type}" for one in arguments)
    given = ", ".join(f"{one}: ${one}" for one in arguments)
    text = f"{word}{f'({declared})' if declared else ''} {{ {name}{f'({given})' if given else ''}"
    text += f" {selection(field.type, depth)} }}"
    return Document(call, text, {one: _value(call, one, field.args[one].type) for one in arguments})


def _value(call: str, name: str, kind: GraphQLInputType) -> Any:
    if isinstance(kind, GraphQLNonNull):
        return _value(call, name, kind.of_type)
    if isinstance(kind, GraphQLList):
        return [_value(call, name.removesuffix("s"), kind.of_type)]
    if isinstance(kind, GraphQLInputObjectType):
        return {
            member: _value(call, member, one.type)
            for member, one in kind.fields.items()
            if member not in _NOT_SENT or is_required_input_field(one)
        }
    if isinstance(kind, GraphQLEnumType):
        return next(iter(kind.values))
    type_name = get_named_type(kind).name
    if type_name == "String" and name in _TEXTS:
        return _TEXTS[name]
    if type_name == "ID" or (type_name == "String" and (name.endswith("Id") or name == "id")):
        return ID
    if type_name in _SCALARS:
        return _SCALARS[type_name]
    raise UnknownArgument(
        f"{call} takes {name}: {type_name}, which the isolation suite cannot fill. Say in "
        "tests/isolation/documents.py what it is: a text goes into _TEXTS, a scalar into _SCALARS; an id of an object "
        "has a name that ends in Id."
    )


def selection(kind: GraphQLOutputType, depth: int) -> str:
    """Return a selection of everything that needs no argument, ``depth`` levels deep."""
    named: GraphQLNamedType = get_named_type(kind)
    if is_leaf_type(named):
        return ""
    if isinstance(named, GraphQLUnionType) or depth == 0:
        return "{ __typename }"
    assert isinstance(named, GraphQLObjectType | GraphQLInterfaceType)
    parts = ["__typename"]
    for name, field in named.fields.items():
        if any(is_required_argument(argument) for argument in field.args.values()):
            continue
        if is_leaf_type(get_named_type(field.type)) or depth > 1:
            parts.append(f"{name} {selection(field.type, depth - 1)}".strip())
    return f"{{ {' '.join(parts)} }}"


def _filled(value: Any, an_id: str) -> Any:
    if value == ID:
        return an_id
    if isinstance(value, Mapping):
        return {name: _filled(member, an_id) for name, member in value.items()}
    if isinstance(value, list):
        return [_filled(one, an_id) for one in value]
    return value
