"""Rules as Boolean formulas over atoms: the parts that say something about a profile alone.

``and``, ``or`` and ``not`` are taken apart; everything below them is an atom. Atoms are compared by meaning, not by
text: names of variables, places in the text and the form of the profile's name play no part. In ::

    loyalty.level = "gold" and not inSegment("x")           All(Atom 0, Negation(Segment("x")))
    (P) => P.loyalty.level = "gold"                         Atom 0
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from typing import TypeAlias, TypeVar, cast

from pyroaring import BitMap

from app.pql import Checked, ir
from app.pql.types import BOOLEAN

Key: TypeAlias = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Atom:
    """A part of a rule, by its number in `Atoms`."""

    number: int


@dataclass(frozen=True, slots=True)
class Segment:
    """The members of another segment."""

    segment_id: str


@dataclass(frozen=True, slots=True)
class Fixed:
    """Everybody or nobody."""

    value: bool


@dataclass(frozen=True, slots=True)
class Negation:
    """Who is not in ``operand``."""

    operand: Formula


@dataclass(frozen=True, slots=True)
class All:
    """Who is in every operand."""

    operands: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """Who is in some operand."""

    operands: tuple[Formula, ...]


Formula: TypeAlias = Atom | Segment | Fixed | Negation | All | Some


class Atoms:
    """The distinct atoms of many rules, numbered from 0; each is kept as a rule of its own.

    ``is_whole`` says which parts are left whole although they could be taken apart: those of a single rule that one
    statement decides at once.
    """

    def __init__(self, is_whole: Callable[[Checked], bool] = lambda _: False) -> None:
        self._is_whole = is_whole
        self.rules: list[Checked] = []
        self._numbers: dict[Key, int] = {}

    def formula(self, rule: Checked) -> Formula:
        """Return a rule as a formula, adding the atoms that were not there before."""
        return self._formula(rule, rule.root)

    def _formula(self, rule: Checked, node: ir.Expr) -> Formula:
        if isinstance(node, ir.And | ir.Or | ir.Not) and self._is_whole(replace(rule, root=node)):
            return Atom(self._number(rule, node))
        match node:
            case ir.And(operands=operands):
                return All(tuple(self._formula(rule, one) for one in operands))
            case ir.Or(operands=operands):
                return Some(tuple(self._formula(rule, one) for one in operands))
            case ir.Not(operand=operand):
                return Negation(self._formula(rule, operand))
            case ir.Constant(value=bool(value)) | ir.Truth(value=ir.Constant(value=bool(value))):
                return Fixed(value)
            case ir.InSegment(segment_id=segment_id):
                return Segment(segment_id)
        inner = next((one.segment_id for one in ir.walk(node) if isinstance(one, ir.InSegment)), None)
        if inner is None:
            return Atom(self._number(rule, node))
        # A segment within an atom is the profile's all the same: the atom holds one way in it, and one way out of it.
        inside, outside = (self._formula(rule, _decided(node, inner, value=value)) for value in (True, False))
        return Some((All((Segment(inner), inside)), All((Negation(Segment(inner)), outside))))

    def _number(self, rule: Checked, node: ir.Expr) -> int:
        key = meaning(node, rule.profile)
        number = self._numbers.get(key)
        if number is None:
            if not isinstance(node, ir.Predicate):
                node = ir.Truth(node, span=node.span)
            number = self._numbers[key] = len(self.rules)
            self.rules.append(replace(rule, root=node, diagnostics=()))
        return number


def segments(formula: Formula) -> Iterator[str]:
    """Yield the segments that a formula asks for, each as often as it stands there."""
    match formula:
        case Segment(segment_id=segment_id):
            yield segment_id
        case Negation(operand=operand):
            yield from segments(operand)
        case All(operands=operands) | Some(operands=operands):
            for one in operands:
                yield from segments(one)


def members(
    formula: Formula, everybody: BitMap, atoms: Mapping[int, BitMap], of_segment: Callable[[str], BitMap]
) -> BitMap:
    """Return who among ``everybody`` is in a formula. What it returns may be one of ``atoms``: do not change it."""
    match formula:
        case Atom(number=number):
            return atoms[number]
        case Segment(segment_id=segment_id):
            return of_segment(segment_id) & everybody
        case Fixed(value=value):
            return everybody if value else BitMap()
        case Negation(operand=operand):
            return everybody - members(operand, everybody, atoms, of_segment)
        case Some(operands=operands):
            return BitMap.union(*(members(one, everybody, atoms, of_segment) for one in operands))
        case All(operands=operands):
            wanted = [one for one in operands if not isinstance(one, Negation)]
            found = [members(one, everybody, atoms, of_segment) for one in wanted] or [everybody]
            kept = min(found, key=len)
            for one in found:
                kept = kept if one is kept else kept & one
            for operand in operands:
                # Taking away is cheaper than making a complement first.
                if isinstance(operand, Negation):
                    kept = kept - members(operand.operand, everybody, atoms, of_segment)
            return kept
    raise TypeError(f"no formula: {type(formula).__name__}")


NodeT = TypeVar("NodeT")


def _decided(node: NodeT, segment_id: str, *, value: bool) -> NodeT:
    """Return a part of a rule in which being in a segment is true, or false."""
    if isinstance(node, ir.InSegment) and node.segment_id == segment_id:
        return cast("NodeT", ir.Truth(ir.Constant(BOOLEAN, value), span=node.span))
    if isinstance(node, tuple):
        return cast("NodeT", tuple(_decided(one, segment_id, value=value) for one in node))
    if isinstance(node, ir.Variable) or not is_dataclass(node) or isinstance(node, type):
        return node
    members = {one.name: getattr(node, one.name) for one in fields(node) if one.name not in {"type", "span"}}
    changed = {name: _decided(one, segment_id, value=value) for name, one in members.items()}
    return replace(node, **{name: one for name, one in changed.items() if one is not members[name]})


def meaning(node: object, profile: ir.Variable) -> Key:
    """Return what a part of a rule means, as a key: equal for parts of different rules that mean the same."""
    return _Meaning(profile).of(node)


class _Meaning:
    def __init__(self, profile: ir.Variable) -> None:
        self._variables: dict[ir.Variable, int] = {profile: 0}

    def of(self, node: object) -> Key:
        if isinstance(node, ir.Variable):
            return ("variable", self._variables.setdefault(node, len(self._variables)))
        if isinstance(node, tuple):
            return ("tuple", *(self.of(one) for one in node))
        if is_dataclass(node) and not isinstance(node, type):
            return (type(node), *(self.of(getattr(node, name)) for name in _compared(type(node))))
        # 1, 1.0 and true are equal in Python, and differ here.
        return (type(node), node)


@cache
def _compared(kind: type) -> tuple[str, ...]:
    """Names of the members that make up a node's meaning. Its type follows from them."""
    return tuple(one.name for one in fields(kind) if one.compare and one.name != "type")
