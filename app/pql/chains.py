"""Checks of event chains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.pql import ast, ir
from app.pql.occurs import occurs
from app.pql.scope import Scope, element_of
from app.pql.types import BOOLEAN, ObjectType, UnknownType, describe, is_instant

if TYPE_CHECKING:
    from app.pql.checker import Checker


def check_chain(checker: Checker, node: ast.Chain, scope: Scope) -> ir.Expr:
    """Return a chain with its elements in order, each with the gap before it."""
    collection = checker.array(checker.expression(node.collection, scope), node.collection.span)
    if collection is None:
        return ir.Invalid(BOOLEAN, span=node.span)
    event_type = element_of(collection)
    if not isinstance(event_type, ObjectType | UnknownType):
        return checker.error("wrong-types", f"A chain needs events, not {event_type}.", node.collection.span)
    sample = ir.Variable("event", event_type)
    order = _order(checker, sample, node)
    if order is None:
        return ir.Invalid(BOOLEAN, span=node.span)
    elements = _elements(checker, node, sample, scope)
    return ir.Chain(collection, order, elements, span=node.span)


def _order(checker: Checker, event: ir.Variable, node: ast.Chain) -> tuple[str, ...] | None:
    value: ir.Expr = ir.Reference(event.type, event, span=node.span)
    for name in node.order_by:
        value = checker.step(value, ast.Step(name, span=node.span))
    if isinstance(value, ir.Invalid):
        return None
    if not (is_instant(value.type) or isinstance(value.type, UnknownType)) or not isinstance(value, ir.Field):
        message = f"Events are ordered by a timestamp, not by {describe(value.type)}."
        checker.error("wrong-types", message, node.span, "Write: CHAIN(xEvent, timestamp, [...])")
        return None
    return node.order_by


def _elements(checker: Checker, node: ast.Chain, event: ir.Variable, scope: Scope) -> tuple[ir.ChainElement, ...]:
    elements: list[ir.ChainElement] = []
    gap: ast.Gap | None = None
    labels: set[str] = set()
    for link in node.links:
        if isinstance(link, ast.Gap):
            if gap is not None or not elements:
                message = "A gap stands between two elements."
                checker.error("misplaced-gap", message, link.span, "Write: C0: ..., GAP(<= 2 hours), C1: ...")
            gap = link
            continue
        if link.name in labels:
            checker.error("duplicate-label", f"The label `{link.name}` is there twice.", link.span)
        labels.add(link.name)
        variable = ir.Variable(link.name, event.type)
        elements.append(_element(checker, link, variable, gap, node.order_by, scope))
        gap = None
        if not link.negated and (link.count.minimum or 0) > 0:
            scope = scope.naming(variable)
    if gap is not None:
        checker.error("misplaced-gap", "Nothing follows this gap.", gap.span, "Add an element, or remove the gap.")
    if not elements:
        checker.error("empty-chain", "A chain needs an element.", node.span)
    return tuple(elements)


def _element(
    checker: Checker,
    link: ast.Element,
    variable: ir.Variable,
    gap: ast.Gap | None,
    order_by: tuple[str, ...],
    scope: Scope,
) -> ir.ChainElement:
    inner = scope.inside(variable)
    what = checker.condition(link.what, inner)
    when: ir.Expr | None = None
    if link.when is not None:
        timestamp: ir.Expr = ir.Reference(variable.type, variable, span=link.when.span)
        for name in order_by:
            timestamp = checker.step(timestamp, ast.Step(name, span=link.when.span))
        when = occurs(checker, timestamp, link.when, inner)
    count = link.count
    if link.negated and count != ast.Count():
        hint = "Write the opposite count without `not`: COUNT(< 3) instead of not ... COUNT(3)."
        checker.error("negated-count", "An element that did not happen has no count.", link.span, hint)
    if count.minimum is not None and count.maximum is not None and count.minimum > count.maximum:
        checker.error("count-range", "This count can never be: it ends before it starts.", count.span)
    return ir.ChainElement(
        variable,
        what,
        when,
        minimum=0 if link.negated else 1 if count.every else count.minimum or 0,
        maximum=0 if link.negated else count.maximum,
        is_exact=link.negated or count.maximum is not None,
        every=count.every,
        negated=link.negated,
        gap=None if gap is None else (gap.comparator, gap.duration),
    )
