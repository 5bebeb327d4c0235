"""What changed between two rules, clause by clause: added, removed, changed. Order and spelling do not count.

Both rules are brought into canonical form. The operands of ``and`` and ``or`` are then compared as sets; of those that
are left over on both sides the most alike are taken for one clause that changed, and compared further where they have
the same shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final, Literal, TypeAlias

from app.pql import ast
from app.pql.canonical import canonical
from app.pql.printer import format_expression
from app.pql.spans import Span

ChangeKind: TypeAlias = Literal["added", "removed", "changed"]

_ALIKE: Final = 0.5
_MOST_PAIRS: Final = 400
"""Above this number of pairs clauses that are left over are not matched with each other, to keep the time small."""


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a rule: its text as its author wrote it, and where it stands."""

    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Change:
    """One change. ``before`` is None for what was added, ``after`` for what was removed.

    ``among`` is the operator that joins the clause with its neighbours, None for a whole rule or a whole condition.
    """

    kind: ChangeKind
    before: Clause | None
    after: Clause | None
    among: ast.LogicalOperator | None


@dataclass(frozen=True, slots=True)
class Difference:
    """All changes, in the order of the new text; none when both rules mean the same."""

    changes: tuple[Change, ...]

    @property
    def same_meaning(self) -> bool:
        """Whether the two rules are only spelled differently."""
        return not self.changes


def difference(before: ast.Query, after: ast.Query) -> Difference:
    """Return the changes that make ``after`` of ``before``."""
    old, new = canonical(before), canonical(after)
    if old.hash == new.hash:
        return Difference(())
    found = list(_Comparer(before.text, after.text).expressions(old.tree, new.tree, None))
    return Difference(tuple(sorted(found, key=_place)))


def _place(change: Change) -> tuple[Span, str]:
    clause = change.after or change.before
    return (clause.span if clause else Span(0, 0)), change.kind


class _Comparer:
    """Compares canonical trees, and shows the texts that they came from."""

    def __init__(self, before: str, after: str) -> None:
        self._before = before
        self._after = after

    def expressions(self, old: ast.Expr, new: ast.Expr, among: ast.LogicalOperator | None) -> Iterator[Change]:
        """Yield the changes between two expressions."""
        if old == new:
            return
        operator = _common_operator(old, new)
        if operator is not None:
            yield from self._operands(_operands(old, operator), _operands(new, operator), operator)
            return
        inner = list(_inner_pairs(old, new))
        if not inner:
            yield self._change(old, new, among)
        for one, other in inner:
            yield from self.expressions(one, other, None)

    def _operands(
        self, old: tuple[ast.Expr, ...], new: tuple[ast.Expr, ...], operator: ast.LogicalOperator
    ) -> Iterator[Change]:
        removed = [one for one in old if one not in new]
        added = [one for one in new if one not in old]
        for one, other in _alike(removed, added):
            removed.remove(one)
            added.remove(other)
            yield from self.expressions(one, other, operator)
        for one in removed:
            yield self._change(one, None, operator)
        for one in added:
            yield self._change(None, one, operator)

    def _change(self, old: ast.Expr | None, new: ast.Expr | None, among: ast.LogicalOperator | None) -> Change:
        kind: ChangeKind = "added" if old is None else "removed" if new is None else "changed"
        before = None if old is None else Clause(self._before[slice(*old.span)], old.span)
        after = None if new is None else Clause(self._after[slice(*new.span)], new.span)
        return Change(kind, before, after, among)


def _common_operator(old: ast.Expr, new: ast.Expr) -> ast.LogicalOperator | None:
    """Return the operator whose operands are to be compared, None where the whole is.

    Of ``a or b`` and ``(a or b) and c`` it is ``and``, of which the first is the only operand.
    """
    match old, new:
        case ast.Logical(one), ast.Logical(other) if one == other:
            return one
        case ast.Logical(), ast.Logical():
            return old.operator if new in old.operands else new.operator if old in new.operands else None
        case (ast.Logical(one), _) | (_, ast.Logical(one)):
            return one
    return None


def _operands(node: ast.Expr, operator: ast.LogicalOperator) -> tuple[ast.Expr, ...]:
    return node.operands if isinstance(node, ast.Logical) and node.operator == operator else (node,)


def _alike(removed: list[ast.Expr], added: list[ast.Expr]) -> list[tuple[ast.Expr, ast.Expr]]:
    """Return pairs of clauses that are most alike, each clause in one pair at most."""
    if not removed or not added or len(removed) * len(added) > _MOST_PAIRS:
        return []
    texts = [format_expression(one) for one in removed], [format_expression(one) for one in added]
    scored = []
    for i, one in enumerate(texts[0]):
        for j, other in enumerate(texts[1]):
            score = _likeness(one, other) + _same_subject(removed[i], added[j])
            if score >= _ALIKE:
                scored.append((-score, i, j))
    pairs: list[tuple[ast.Expr, ast.Expr]] = []
    left, right = set(range(len(removed))), set(range(len(added)))
    for _, i, j in sorted(scored):
        if i in left and j in right:
            left.discard(i)
            right.discard(j)
            pairs.append((removed[i], added[j]))
    return pairs


def _likeness(one: str, other: str) -> float:
    """Return how alike two texts are, from 0 to 1, by their words."""
    words = one[:2_000].split(), other[:2_000].split()
    return SequenceMatcher(None, *words, autojunk=False).ratio()


def _same_subject(one: ast.Expr, other: ast.Expr) -> float:
    """Return a bonus for two clauses about the same field."""
    subject = _subject(one)
    return 0.5 if subject is not None and subject == _subject(other) else 0.0


def _subject(node: ast.Expr) -> ast.Expr | None:
    match node:
        case ast.Comparison(_, left):
            return left
        case ast.MethodCall(receiver):
            return receiver
        case ast.Occurs(timestamp):
            return timestamp
        case ast.Not(operand):
            return _subject(operand)
    return None


def _inner_pairs(old: ast.Expr, new: ast.Expr) -> Iterator[tuple[ast.Expr, ast.Expr]]:
    """Yield the parts of two expressions of the same shape that differ; nothing when their shapes differ."""
    match old, new:
        case ast.Not(one), ast.Not(other):
            yield one, other
        case ast.Quantified(quantifier, old_bindings), ast.Quantified(other_quantifier, new_bindings):
            if quantifier == other_quantifier:
                yield from _of_bindings(old_bindings, new_bindings)
        case ast.Select(old_bindings), ast.Select(new_bindings):
            yield from _of_bindings(old_bindings, new_bindings)
        case ast.Filter(source, one), ast.Filter(other_source, other) if source == other_source:
            yield one, other
        case ast.Chain(), ast.Chain():
            yield from _of_chains(old, new)


def _of_bindings(old: tuple[ast.Binding, ...], new: tuple[ast.Binding, ...]) -> Iterator[tuple[ast.Expr, ast.Expr]]:
    if [one.source for one in old] != [one.source for one in new]:
        return
    if any((one.where is None) != (other.where is None) for one, other in zip(old, new, strict=True)):
        return
    for one, other in zip(old, new, strict=True):
        if one.where is not None and other.where is not None and one.where != other.where:
            yield one.where, other.where


def _of_chains(old: ast.Chain, new: ast.Chain) -> Iterator[tuple[ast.Expr, ast.Expr]]:
    """Yield the conditions of elements that differ, where the chains are otherwise the same."""
    if (old.collection, old.order_by, len(old.links)) != (new.collection, new.order_by, len(new.links)):
        return
    pairs = []
    for one, other in zip(old.links, new.links, strict=True):
        if one == other:
            continue
        match one, other:
            case ast.Element(_, what, when, count, negated), ast.Element(_, changed, window, number, excluded):
                if (when, count, negated) != (window, number, excluded):
                    return
                pairs.append((what, changed))
            case _:
                return
    yield from pairs
