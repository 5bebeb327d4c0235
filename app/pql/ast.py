"""The tree of a rule, as it was written: names are not resolved and nothing has a type yet.

``loyalty.level = "gold" and xEvent[commerce.order.priceTotal > 9.5].count() > 1`` is::

    Logical("and")
    ├── Comparison("=")
    │   ├── Path(Name("loyalty"), .level)
    │   └── StringLiteral("gold")
    └── Comparison(">")
        ├── MethodCall("count")
        │   └── Filter
        │       ├── Name("xEvent")
        │       └── Comparison(">") ...
        └── IntegerLiteral(1)

Nodes are frozen and compare by content; the span does not count. What is only another spelling of the same thing
(``!x``, ``.filter(...)``, ``some``, ``: condition``) has no node of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, TypeAlias

from app.pql.origin import Origin
from app.pql.spans import NOWHERE, Span


@dataclass(frozen=True, slots=True)
class Node:
    """Anything in the tree. ``span`` is where it stands in the text."""

    span: Span = field(default=NOWHERE, compare=False, repr=False, kw_only=True)


class Expr(Node):
    """A node that has a value."""

    __slots__ = ()


# Literals


@dataclass(frozen=True, slots=True)
class StringLiteral(Expr):
    """``"gold"``; ``value`` has its escapes undone."""

    value: str


@dataclass(frozen=True, slots=True)
class IntegerLiteral(Expr):
    """``42`` or ``-7``, in the range of signed 64 bits."""

    value: int


@dataclass(frozen=True, slots=True)
class DoubleLiteral(Expr):
    """``19.9``; always finite."""

    value: float


@dataclass(frozen=True, slots=True)
class BooleanLiteral(Expr):
    """``true`` or ``false``."""

    value: bool


@dataclass(frozen=True, slots=True)
class ListExpr(Expr):
    """``["gold", "platinum"]``."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class ObjectExpr(Expr):
    """``{"orders": this.count()}``; keys are distinct and keep their order."""

    members: tuple[tuple[str, Expr], ...]


# Names and paths


@dataclass(frozen=True, slots=True)
class Name(Expr):
    """A bare name: a variable, or the first segment of a path. ``relation`` is the class in ``name@{class}``."""

    name: str
    relation: str | None = None


@dataclass(frozen=True, slots=True)
class Parameter(Expr):
    """``$1``: the parameter at ``number``, counted from 1."""

    number: int


@dataclass(frozen=True, slots=True)
class This(Expr):
    """``this``: the element of the nearest implicit scope."""


@dataclass(frozen=True, slots=True)
class Up(Expr):
    """``^``, ``^^``: the object of the implicit scope ``levels`` further out."""

    levels: int


@dataclass(frozen=True, slots=True)
class ClassReference(Expr):
    """``@{_xdm.context.product;version=1}`` as a source of elements."""

    class_name: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Step(Node):
    """One ``.name`` of a path, with the class when it is a relation: ``.name@{class}``."""

    name: str
    relation: str | None = None


@dataclass(frozen=True, slots=True)
class Path(Expr):
    """``base.a.b``: members of an object, outermost first; there is at least one step."""

    base: Expr
    steps: tuple[Step, ...]


# Operators


LogicalOperator: TypeAlias = Literal["and", "or"]
ComparisonOperator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">=", "in", "notIn", "like"]
ArithmeticOperator: TypeAlias = Literal["+", "-", "*", "/", "%"]


@dataclass(frozen=True, slots=True)
class Logical(Expr):
    """``a and b and c``: two operands or more, none of which is a `Logical` of the same operator."""

    operator: LogicalOperator
    operands: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Not(Expr):
    """``not a``."""

    operand: Expr


@dataclass(frozen=True, slots=True)
class Comparison(Expr):
    """``a = b`` and its likes, ``in`` and ``like`` included."""

    operator: ComparisonOperator
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Arithmetic(Expr):
    """``a + b``."""

    operator: ArithmeticOperator
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Negation(Expr):
    """``-a`` of anything but a number literal, whose sign is part of its value."""

    operand: Expr


# Calls, filters and bound names


@dataclass(frozen=True, slots=True)
class Call(Expr):
    """``date(2024, 2, 29)``: a function by its name."""

    name: str
    arguments: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class MethodCall(Expr):
    """``receiver.name(arguments)``."""

    receiver: Expr
    name: str
    arguments: tuple[Expr, ...]
    name_span: Span = field(default=NOWHERE, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Filter(Expr):
    """``source[condition]``; the condition sees the element as its implicit scope."""

    source: Expr
    condition: Expr


@dataclass(frozen=True, slots=True)
class Lambda(Expr):
    """``(K, G) => body``."""

    parameters: tuple[str, ...]
    body: Expr


@dataclass(frozen=True, slots=True)
class Let(Expr):
    """``let name = value in body``."""

    name: str
    value: Expr
    body: Expr


@dataclass(frozen=True, slots=True)
class Binding(Node):
    """``name from source where condition``: the name stands for each element of the source that qualifies."""

    name: str
    source: Expr
    where: Expr | None = None


@dataclass(frozen=True, slots=True)
class Select(Expr):
    """``select E from xEvent where ..., I from E.productListItems``: the tuples that meet every condition."""

    bindings: tuple[Binding, ...]


@dataclass(frozen=True, slots=True)
class Quantified(Expr):
    """``exists V from ...`` or ``forall V from ...``."""

    quantifier: Literal["exists", "forall"]
    bindings: tuple[Binding, ...]


@dataclass(frozen=True, slots=True)
class Comprehension(Expr):
    """``sum I.quantity over E from xEvent where ..., I from E.productListItems``."""

    function: Literal["sum", "average", "min", "max"]
    value: Expr
    bindings: tuple[Binding, ...]


# Time


UNITS = (
    "millisecond",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "year",
    "decade",
    "century",
    "millennium",
)
Comparator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">="]
Direction: TypeAlias = Literal["before", "after", "from"]


@dataclass(frozen=True, slots=True)
class TimeWord(Expr):
    """``now``, ``today``, ``yesterday`` or ``tomorrow``."""

    word: Literal["now", "today", "yesterday", "tomorrow"]


@dataclass(frozen=True, slots=True)
class CalendarPeriod(Expr):
    """``this month``, ``last week``, ``next year``; ``unit`` is one of `UNITS`."""

    which: Literal["this", "last", "next"]
    unit: str


@dataclass(frozen=True, slots=True)
class Duration(Node):
    """``14 days``; ``count`` is not negative and ``unit`` is one of `UNITS`."""

    count: int
    unit: str


@dataclass(frozen=True, slots=True)
class Within(Node):
    """``<= 14 days before now``."""

    comparator: Comparator
    duration: Duration
    direction: Direction
    reference: Expr


@dataclass(frozen=True, slots=True)
class Beyond(Node):
    """``before now`` or ``after date(2024, 5, 31)``."""

    direction: Literal["before", "after"]
    reference: Expr


@dataclass(frozen=True, slots=True)
class Between(Node):
    """``between date(2024, 6, 1) and yesterday``."""

    start: Expr
    end: Expr


@dataclass(frozen=True, slots=True)
class During(Node):
    """``this month``, ``on date(2024, 2, 29)``."""

    period: Expr


@dataclass(frozen=True, slots=True)
class IgnoreYear(Node):
    """``ignoreYear today``: the test on day and month alone."""

    test: Within | Beyond | Between | During


TimeTest: TypeAlias = Within | Beyond | Between | During | IgnoreYear


@dataclass(frozen=True, slots=True)
class Occurs(Expr):
    """``E.timestamp occurs <= 14 days before now``."""

    timestamp: Expr
    test: TimeTest


# Chains


@dataclass(frozen=True, slots=True)
class Count(Node):
    """``COUNT(3)``: how many events. ``every`` is ``COUNT(all)``; a bound of None is open."""

    minimum: int | None = 1
    maximum: int | None = None
    every: bool = False


@dataclass(frozen=True, slots=True)
class Element(Node):
    """``C0: WHAT(...) WHEN(...) COUNT(...)``; ``negated`` says that no such event may be."""

    name: str
    what: Expr
    when: TimeTest | None = None
    count: Count = Count()
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Gap(Node):
    """``GAP(<= 2 hours)``: the time from the element before to the element after."""

    comparator: Comparator
    duration: Duration


@dataclass(frozen=True, slots=True)
class Chain(Expr):
    """``CHAIN(xEvent, timestamp, [C0: ..., GAP(...), C1: ...])``."""

    collection: Expr
    order_by: tuple[str, ...]
    links: tuple[Element | Gap, ...]


# The whole rule


@dataclass(frozen=True, slots=True)
class Query:
    """A rule: its text and its tree.

    ``parameters`` are the names in ``(P) => ...`` at the root; they are empty when the rule does not name them.
    For a rule in pql/json ``text`` is its canonical text, and ``origin`` knows the document.
    """

    text: str = field(compare=False)
    body: Expr
    parameters: tuple[str, ...] = ()
    origin: Origin | None = field(default=None, compare=False, repr=False)


def children(node: Node) -> Iterator[Node]:
    """Yield the nodes directly below ``node``, in the order of the text."""
    for name in _node_fields(type(node)):  # type: ignore[arg-type]  # every class is hashable
        value = getattr(node, name)
        if isinstance(value, Node):
            yield value
        elif isinstance(value, tuple):
            yield from _nodes_in(value)


def _nodes_in(values: tuple[object, ...]) -> Iterator[Node]:
    for value in values:
        if isinstance(value, Node):
            yield value
        elif isinstance(value, tuple):
            yield from _nodes_in(value)


def walk(node: Node) -> Iterator[Node]:
    """Yield ``node`` and everything below it, without recursion, parents before children."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        yield current
        waiting.extend(reversed(list(children(current))))


def height(node: Node) -> int:
    """Return the number of nodes on the longest way down from ``node``, without recursion."""
    deepest, waiting = 0, [(node, 1)]
    while waiting:
        current, depth = waiting.pop()
        deepest = max(deepest, depth)
        waiting.extend((child, depth + 1) for child in children(current))
    return deepest


@cache
def _node_fields(kind: type[Node]) -> tuple[str, ...]:
    return tuple(name for name in kind.__dataclass_fields__ if name not in {"span", "name_span"})
