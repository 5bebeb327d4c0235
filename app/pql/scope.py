"""What a name can mean at one place of a rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.pql import ir
from app.pql.types import UNKNOWN, ArrayType, Type


@dataclass(frozen=True, slots=True)
class Scope:
    """What a name can mean at one place. ``implicit`` are the scopes of bare names, the profile's first."""

    names: Mapping[str, ir.Expr]
    implicit: tuple[ir.Variable, ...]

    def naming(self, variable: ir.Variable) -> Scope:
        """Return the scope in which the variable's name stands for it."""
        return Scope({**self.names, variable.name: ir.Reference(variable.type, variable)}, self.implicit)

    def inside(self, variable: ir.Variable) -> Scope:
        """Return the scope in which bare names are fields of the variable."""
        return Scope(self.names, (*self.implicit, variable))


def element_of(array: ir.Expr) -> Type:
    """Return the type of an array's elements."""
    return array.type.element if isinstance(array.type, ArrayType) else UNKNOWN
