"""Memberships read by their path are memberships: ``segmentMembership.get("ups").get(id).status`` is ``inSegment(id)``.

Adobe's own rules have both spellings. Whoever keeps memberships apart from profiles, as sets, can answer the second
one only; so what the first one asks about the Platform's own segments is said in the second.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, Final, TypeVar, cast

from app.pql import ir
from app.pql.checker import Checked

MEMBERSHIP_FIELD: Final = "segmentMembership"
PLATFORM_NAMESPACE: Final = "ups"
IN_A_SEGMENT: Final = frozenset({"realized", "existing"})
"""The statuses of a profile that is in a segment; they mean the same (``exited`` is the third)."""

NodeT = TypeVar("NodeT")


def by_segment(checked: Checked) -> Checked:
    """Return a rule in which tests that a membership's status is one of a member's are ``inSegment``."""
    root = _rewritten(checked.root, checked.profile)
    return checked if root is checked.root else replace(checked, root=root)


def segment_of_status(node: object, profile: ir.Variable) -> str | None:
    """Return the id of the Platform's segment whose status in the profile an expression reads; None for all others."""
    match node:
        case ir.Field(
            object=ir.Lookup(
                map=ir.Lookup(
                    map=ir.Field(object=ir.Reference(variable=owner), path=(field,)), key=ir.Constant(value=namespace)
                ),
                key=ir.Constant(value=str(segment_id)),
            ),
            path=("status",),
        ) if owner is profile and field == MEMBERSHIP_FIELD and namespace == PLATFORM_NAMESPACE:
            return segment_id
    return None


def _rewritten(node: NodeT, profile: ir.Variable) -> NodeT:
    asked = _asked(node, profile)
    if asked is not None:
        return cast("NodeT", asked)
    if isinstance(node, tuple):
        made = tuple(_rewritten(one, profile) for one in node)
        return cast("NodeT", made) if any(one is not other for one, other in zip(made, node, strict=True)) else node
    if isinstance(node, ir.Variable) or not is_dataclass(node) or isinstance(node, type):
        return node
    changed: dict[str, Any] = {}
    for member in fields(node):
        if member.name not in {"type", "span"}:
            held = getattr(node, member.name)
            new = _rewritten(held, profile)
            if new is not held:
                changed[member.name] = new
    return replace(node, **changed) if changed else node


def _asked(node: object, profile: ir.Variable) -> ir.InSegment | None:
    match node:
        case ir.Comparison(operator="=", left=left, right=ir.Constant(value=status)) if status in IN_A_SEGMENT:
            segment_id = segment_of_status(left, profile)
        case ir.OneOf(value=subject, members=members, negated=False) if _are_statuses(members):
            segment_id = segment_of_status(subject, profile)
        case _:
            return None
    return None if segment_id is None else ir.InSegment(segment_id, span=node.span)


def _are_statuses(members: tuple[ir.Expr, ...]) -> bool:
    return bool(members) and all(isinstance(one, ir.Constant) and one.value in IN_A_SEGMENT for one in members)
