"""The state of one compilation, and the ways into it.

The modules that write values, predicates, objects, arrays and maps need each other all the time; they meet here. Each
asks the `Writer`, which knows from its `Rules` who writes what.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any, Final

from sqlglot import exp

from app.errors import PQLError
from app.pql import ir
from app.pql.diagnostics import error, rejection
from app.pql.layout import Layout
from app.pql.sql.clock import Clock
from app.pql.sql.places import Element, Place, Spot
from app.pql.sql.spelling import SQL, number, settled

MAX_NODES: Final = 60_000
"""Nodes of a statement. A rule needs a few hundred; names that stand for names could ask for more than there is."""


@dataclass(slots=True)
class Writer:
    """Writes one rule."""

    text: str
    layout: Layout
    now: datetime
    zone: tzinfo
    rules: Rules
    parameters: list[object] = field(default_factory=list)
    clock: Clock = field(init=False)
    _aliases: int = 0
    _written: int = 0

    def __post_init__(self) -> None:
        self.clock = Clock(self.now, self.zone, self.bind)

    def value(self, node: ir.Expr, spot: Spot) -> SQL:
        """Return a single value, which may be NULL."""
        self.spend(1, node)
        rule = self.rules.values.get(type(node))
        if rule is None:
            # A predicate is a value as well: true or false.
            return self.predicate(node, spot)
        return rule(self, node, spot)

    def predicate(self, node: ir.Expr, spot: Spot) -> SQL:
        """Return a condition that is true or false, never NULL."""
        self.spend(1, node)
        rule = self.rules.predicates.get(type(node))
        if rule is None:
            return settled(self.rules.values[type(node)](self, node, spot))
        return rule(self, node, spot)

    def place(self, node: ir.Expr, spot: Spot) -> Place:
        """Return what stands for a value of any kind; it may join tables to frames around it."""
        self.spend(1, node)
        return self.rules.place(self, node, spot)

    def rows(self, node: ir.Expr, spot: Spot) -> Element:
        """Add the elements of an array to the spot's frame, and return what stands for each."""
        self.spend(1, node)
        return self.rules.rows(self, node, spot)

    def entries(self, node: ir.Expr, spot: Spot) -> MapEntry:
        """Add the entries of a map to the spot's frame, and return what stands for each."""
        self.spend(1, node)
        return self.rules.entries(self, node, spot)

    def present(self, node: ir.Expr, spot: Spot) -> SQL:
        """Return whether an array or a map is there, though it may be empty; never NULL."""
        self.spend(1, node)
        return self.rules.present(self, node, spot)

    def bind(self, value: object) -> SQL:
        """Return a placeholder for a value."""
        self.parameters.append(value)
        return exp.Parameter(this=number(len(self.parameters)))

    def alias(self) -> str:
        """Return a name that no other table or column of the statement has."""
        self._aliases += 1
        return f"t{self._aliases}"

    def again(self, written: SQL, node: ir.Expr) -> SQL:
        """Return a copy of something written, for a second place."""
        self.spend(sum(1 for _ in written.walk()), node)
        return written.copy()

    def spend(self, nodes: int, node: ir.Expr) -> None:
        """Count what is written; refuse a statement that grows without reason."""
        self._written += nodes
        if self._written > MAX_NODES:
            hint = "Names that stand for whole selects are written out each time they are used: use fewer of them."
            raise self._refusal("too-large", "The rule grows too large when it is evaluated.", node, hint)

    def not_held(self, node: ir.Expr, what: str) -> PQLError:
        """Return the error for a part of a rule for which the tables have nothing."""
        message = f"The data that rules are evaluated on has no {what}."
        return self._refusal("not-held", message, node, "The rule can be stored, but not evaluated here.")

    def unfit(self, node: ir.Expr, message: str, hint: str) -> PQLError:
        """Return the error for a part of a rule that no statement can say."""
        return self._refusal("not-evaluable", message, node, hint)

    def _refusal(self, code: str, message: str, node: ir.Expr, hint: str) -> PQLError:
        return rejection(self.text, [error(code, message, node.span, hint)])


@dataclass(frozen=True, slots=True)
class MapEntry:
    """What stands for each entry of a map, and the keys of their order."""

    key: SQL
    value: Place
    order: tuple[SQL, ...] = ()


Rule = Callable[[Writer, Any, Spot], SQL]


@dataclass(frozen=True, slots=True)
class Rules:
    """Who writes what: by class of node where it is a value or a predicate."""

    values: Mapping[type[ir.Expr], Rule]
    predicates: Mapping[type[ir.Expr], Rule]
    place: Callable[[Writer, ir.Expr, Spot], Place]
    rows: Callable[[Writer, ir.Expr, Spot], Element]
    entries: Callable[[Writer, ir.Expr, Spot], MapEntry]
    present: Callable[[Writer, ir.Expr, Spot], SQL]
