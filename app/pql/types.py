"""What values can be: the XDM types, and the few that exist only inside expressions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias


class Primitive(Enum):
    """Kinds of scalars. Byte, Short and Integer are read as Long, URI and Enum as String."""

    STRING = "String"
    BOOLEAN = "Boolean"
    LONG = "Integer"
    DOUBLE = "Double"
    DATE = "Date"
    DATETIME = "DateTime"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value. ``values`` is the closed list of an enumeration, None where any value may be."""

    primitive: Primitive
    values: tuple[str, ...] | None = None

    def __str__(self) -> str:
        return "Enum" if self.values is not None else self.primitive.value


@dataclass(frozen=True, slots=True)
class ArrayType:
    """An array; ``element`` is UNKNOWN for an empty list literal."""

    element: Type

    def __str__(self) -> str:
        return f"Array({self.element})"


@dataclass(frozen=True, slots=True, eq=False)
class ObjectType:
    """An object with named fields. ``is_open`` says that it may hold more than is known."""

    name: str
    fields: Mapping[str, Type] = field(default_factory=dict, repr=False)
    is_open: bool = False

    def __str__(self) -> str:
        return self.name or "Object"


@dataclass(frozen=True, slots=True)
class MapType:
    """A map from scalars, usually strings, to values of one type."""

    key: Type
    value: Type

    def __str__(self) -> str:
        return f"Map({self.key}, {self.value})"


@dataclass(frozen=True, slots=True)
class TuplesType:
    """The result of ``select``: tuples of elements of these types."""

    elements: tuple[Type, ...]

    def __str__(self) -> str:
        return "set of tuples"


@dataclass(frozen=True, slots=True)
class EntryType:
    """The result of ``mapEntry``, which only ``map`` can take."""

    key: Type
    value: Type

    def __str__(self) -> str:
        return "Entry"


@dataclass(frozen=True, slots=True)
class UnknownType:
    """Nothing is known before the rule is run."""

    def __str__(self) -> str:
        return "unknown"


Type: TypeAlias = Scalar | ArrayType | ObjectType | MapType | TuplesType | EntryType | UnknownType

UNKNOWN = UnknownType()
STRING = Scalar(Primitive.STRING)
BOOLEAN = Scalar(Primitive.BOOLEAN)
LONG = Scalar(Primitive.LONG)
DOUBLE = Scalar(Primitive.DOUBLE)
DATE = Scalar(Primitive.DATE)
DATETIME = Scalar(Primitive.DATETIME)

_NUMBERS = frozenset({Primitive.LONG, Primitive.DOUBLE})
_INSTANTS = frozenset({Primitive.DATE, Primitive.DATETIME})


def primitive_of(type_: Type) -> Primitive | None:
    """Return the kind of a scalar, None for everything else."""
    return type_.primitive if isinstance(type_, Scalar) else None


def is_number(type_: Type) -> bool:
    """Tell whether values are integers or doubles."""
    return primitive_of(type_) in _NUMBERS


def is_instant(type_: Type) -> bool:
    """Tell whether values are days or timestamps."""
    return primitive_of(type_) in _INSTANTS


def least_common(left: Type, right: Type) -> Type | None:
    """Return the narrowest type that holds values of both, or None when there is none."""
    if left == right or isinstance(right, UnknownType):
        return left
    if isinstance(left, UnknownType):
        return right
    if is_number(left) and is_number(right):
        return DOUBLE
    if is_instant(left) and is_instant(right):
        return DATETIME
    if primitive_of(left) is Primitive.STRING and primitive_of(right) is Primitive.STRING:
        return STRING
    if isinstance(left, ArrayType) and isinstance(right, ArrayType):
        element = least_common(left.element, right.element)
        return None if element is None else ArrayType(element)
    return None


def describe(type_: Type) -> str:
    """Return a type as a message names it, with its article."""
    match type_:
        case Scalar():
            return _SCALAR_WORDS[type_.primitive]
        case ArrayType():
            return "an array"
        case MapType():
            return "a map"
        case TuplesType():
            return "the result of select"
        case EntryType():
            return "a map entry"
        case ObjectType():
            return "an object"
    return "a value of unknown type"


_SCALAR_WORDS = {
    Primitive.STRING: "a string",
    Primitive.BOOLEAN: "true or false",
    Primitive.LONG: "a number",
    Primitive.DOUBLE: "a number",
    Primitive.DATE: "a date",
    Primitive.DATETIME: "a timestamp",
}
