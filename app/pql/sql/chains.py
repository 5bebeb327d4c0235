"""Event chains, as steps from one element to the next.

After each element that takes events, all that matters to the rest is the instant of the last of them (``low``), and
the events that labels name. Where no label is used any more, the steps so far shrink to these instants: to the
earliest alone when nothing but being later is asked of what follows. So the work grows with the number of events of a
profile squared at worst, not with a power for each element.

Elements that count everything between their neighbours are checked when the next element is known. How many events
lie between two instants is the number before the one less the number up to the other: two questions with one bound
each, rather than one for every pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from app.pql import ir, times
from app.pql.ast import Comparator, Duration
from app.pql.sql.arrays import exists
from app.pql.sql.objects import project
from app.pql.sql.places import Frame, Place, Spot, free_variables
from app.pql.sql.spelling import SQL, all_of, any_of, column, derived, is_known, named, negated, number
from app.pql.sql.writer import Writer
from app.pql.types import DATETIME, UNKNOWN, ObjectType, Primitive, Type, primitive_of

_MOMENT = ir.Reference(DATETIME, ir.Variable("moment", DATETIME))
"""The instant that a gap is measured from; its place is known to the step, not to any scope."""


def chain(writer: Writer, node: ir.Chain, spot: Spot) -> SQL:
    """Write whether some assignment of events to the elements satisfies them all."""
    return _Chain(writer, node, spot).written()


@dataclass(frozen=True, slots=True)
class _Bounded:
    """At most ``maximum`` events may lie between the neighbours that meet an element (or, if ``misfits``, that lie in
    its window and do not meet it)."""

    element: ir.ChainElement
    maximum: int = 0
    misfits: bool = False
    gap: tuple[Comparator, Duration] | None = None
    until_now: bool = False


@dataclass(slots=True)
class _Chain:
    writer: Writer
    node: ir.Chain
    spot: Spot
    pending: Sequence[_Bounded] = ()
    low: SQL | None = None
    frame: Frame | None = None

    def written(self) -> SQL:
        elements = self.node.elements
        for index, element in enumerate(elements):
            if element.minimum == 0:
                if element.maximum is not None:
                    self.pending = (*self.pending, _unless_taken(element))
                continue
            self._take(element)
            later = elements[index + 1 :]
            if any(one.minimum > 0 for one in later):
                self._shrink(later)
        checks = [self._bounded(one, None) for one in self.pending]
        if self.frame is None:
            return all_of(*checks)
        self.frame.conditions += checks
        return exists(self.frame)

    # One element

    def _take(self, element: ir.ChainElement) -> None:
        """Add the events that an element takes."""
        if self.frame is None:
            self.frame = self.spot.below()
            self.spot = self.spot.inside(self.frame)
        one_event = element.minimum == 1 and not element.is_exact and not element.every
        first, last, place, before = self._one(element) if one_event else self._several(element)
        conditions = self.frame.conditions
        if self.low is not None:
            conditions.append(exp.GT(this=first.copy(), expression=self.low.copy()))
            if element.gap is not None:
                conditions.append(self._within(element.gap, self.low, first))
        conditions += [self._bounded(one, first) for one in self.pending]
        self.pending = ()
        if before is not None and (element.is_exact or element.every):
            self._exactly(element, last, before)
        self.low = last
        self.spot = self.spot.naming(element.variable, place)

    def _one(self, element: ir.ChainElement) -> tuple[SQL, SQL, Place, None]:
        place, at = self._fitting(element, self.spot)
        return at, at, place, None

    def _several(self, element: ir.ChainElement) -> tuple[SQL, SQL, Place, SQL]:
        """Add the first and the last of the events that an element takes.

        Both come from the events that meet the element, each with the number of those before it and up to it.
        """
        first, place = self._numbered(element, carry=True)
        last, _ = self._numbered(element, carry=False)
        assert self.frame is not None  # noqa: S101 - the caller made it
        self.frame.conditions.append(exp.GTE(this=column(last, "t"), expression=column(first, "t")))
        taken = exp.Sub(this=column(last, "upto"), expression=column(first, "before"))
        self.frame.conditions.append(exp.GTE(this=taken, expression=number(element.minimum)))
        if element.maximum is not None:
            self.frame.conditions.append(exp.LTE(this=taken.copy(), expression=number(element.maximum)))
        return column(first, "t"), column(last, "t"), place, column(first, "before")

    def _numbered(self, element: ir.ChainElement, *, carry: bool) -> tuple[str, Place]:
        """Add the events that meet an element, numbered in time; return the alias and what stands for each."""
        assert self.frame is not None  # noqa: S101 - the caller made it
        inner = self.spot.below()
        place, at = self._fitting(element, self.spot.inside(inner))
        keys = [there for _, there in inner.correlation]
        columns, rebuild = project(self.writer, place, inner, self.node) if carry else ([], None)
        in_time = exp.Window(
            this=exp.Count(this=exp.Star()),
            partition_by=[one.copy() for one in keys],
            order=exp.Order(expressions=[exp.Ordered(this=at.copy(), nulls_first=False)]),
        )
        at_once = exp.Window(this=exp.Count(this=exp.Star()), partition_by=[one.copy() for one in (*keys, at)])
        names = [named(one.copy(), f"k{position}") for position, one in enumerate(keys)]
        numbers = [
            named(at.copy(), "t"),
            named(in_time, "upto"),
            named(exp.Sub(this=in_time.copy(), expression=at_once), "before"),
        ]
        alias = self.writer.alias()
        query = inner.select(*names, *numbers, *columns, correlated=False)
        ties: list[tuple[SQL, SQL]] = [
            (here, column(alias, f"k{position}")) for position, (here, _) in enumerate(inner.correlation)
        ]
        self.frame.add_tied(derived(query, alias, lateral=not self.frame.is_empty), ties)
        return alias, place if rebuild is None else rebuild(self.frame, alias)

    def _exactly(self, element: ir.ChainElement, last: SQL, before: SQL) -> None:
        """Ask that an element takes all events that meet it between its neighbours."""
        assert self.frame is not None  # noqa: S101 - the caller made it
        whole = _Bounded(element)
        passed = self._number(whole, self.low, including=True) if self.low is not None else number(0)
        self.frame.conditions.append(exp.EQ(this=before.copy(), expression=passed))
        self.pending = (whole,)
        if element.every:
            misfits = _Bounded(element, misfits=True)
            up_to_last = self._number(misfits, last, including=True)
            passed = self._number(misfits, self.low, including=True) if self.low is not None else number(0)
            self.frame.conditions.append(exp.EQ(this=up_to_last, expression=passed))
            self.pending = (whole, misfits)

    # Events

    def _fitting(self, element: ir.ChainElement, spot: Spot, *, misfits: bool = False) -> tuple[Place, SQL]:
        """Add events that lie in an element's window and meet it, or do not; return each and its instant."""
        found = self.writer.rows(self.node.collection, spot)
        inner = spot.naming(element.variable, found.place)
        at = self._instant(element.variable, inner)
        what = self.writer.predicate(element.what, inner)
        tests = [is_known(at), negated(what) if misfits else what]
        if element.when is not None:
            tests.append(self.writer.predicate(element.when, inner))
        spot.frame.conditions += tests
        return found.place, at

    def _instant(self, variable: ir.Variable, spot: Spot) -> SQL:
        type_: Type = variable.type
        for name in self.node.order_by:
            type_ = type_.fields.get(name, UNKNOWN) if isinstance(type_, ObjectType) else UNKNOWN
        event = ir.Reference(variable.type, variable)
        written = self.writer.value(ir.Field(type_, event, self.node.order_by, span=self.node.collection.span), spot)
        return self.writer.clock.from_day(written) if primitive_of(type_) is Primitive.DATE else written

    def _within(self, gap: tuple[Comparator, Duration], low: SQL, at: SQL) -> SQL:
        comparator, duration = gap
        clock = self.writer.clock
        intervals = times.window(ir.Within(comparator, duration, "after", _MOMENT))
        return any_of(
            *(
                clock.lies_in(at, one, lambda endpoint: clock.computed_endpoint(endpoint, low.copy()))
                for one in intervals
            )
        )

    # What may lie between neighbours

    def _bounded(self, bound: _Bounded, high: SQL | None) -> SQL:
        """Return whether no more than the allowed events lie after ``low`` and before ``high``."""
        low = self.low
        gap = bound.gap if low is not None else None
        if bound.maximum == 0 and (low is None or high is None or gap is not None):
            return negated(exists(self._between(bound, low, high, gap)[0]))
        if gap is not None:
            within = self._between(bound, low, high, gap)[0]
            return exp.LTE(this=_count(within), expression=number(bound.maximum))
        found = self._number(bound, high, including=False)
        if low is not None:
            found = exp.Sub(this=found, expression=self._number(bound, low, including=True))
        return exp.LTE(this=found, expression=number(bound.maximum))

    def _number(self, bound: _Bounded, at: SQL | None, *, including: bool) -> SQL:
        """Return how many events meet an element before an instant, or up to it; None is the end of time."""
        frame, instant = self._between(bound, None, None, None, until_now=at is None and bound.until_now)
        if at is not None:
            kind = exp.LTE if including else exp.LT
            frame.conditions.append(kind(this=instant, expression=at.copy()))
        return _count(frame)

    def _between(
        self,
        bound: _Bounded,
        low: SQL | None,
        high: SQL | None,
        gap: tuple[Comparator, Duration] | None,
        *,
        until_now: bool | None = None,
    ) -> tuple[Frame, SQL]:
        """Return the events that meet an element between two instants, and their instant."""
        frame = self.spot.below()
        _, at = self._fitting(bound.element, self.spot.inside(frame), misfits=bound.misfits)
        if low is not None:
            frame.conditions.append(exp.GT(this=at.copy(), expression=low.copy()))
            if gap is not None:
                frame.conditions.append(self._within(gap, low, at))
        if high is not None:
            frame.conditions.append(exp.LT(this=at.copy(), expression=high.copy()))
        elif bound.until_now if until_now is None else until_now:
            now = self.writer.clock.instant(self.writer.now)
            frame.conditions.append(exp.LTE(this=at.copy(), expression=now))
        return frame, at

    # Between elements

    def _shrink(self, later: Sequence[ir.ChainElement]) -> None:
        """Replace the steps so far by the instants at which they can end, unless a label is still needed."""
        assert self.frame is not None  # noqa: S101 - an element was taken
        assert self.low is not None  # noqa: S101 - an element was taken
        labels = frozenset(one.variable for one in self.node.elements)
        parts = [part for one in (*later, *(one.element for one in self.pending)) for part in (one.what, one.when)]
        used = frozenset().union(*(free_variables(part) for part in parts if part is not None))
        if used & labels & frozenset(self.spot.scope):
            return
        keys = [there for _, there in self.frame.correlation]
        following = next(one for one in later if one.minimum > 0)
        between = any(one.minimum == 0 and one.maximum is not None for one in later[: later.index(following)])
        only_earliest = following.gap is None and not between and not self.pending and not _counts_all(following)
        instant = exp.Min(this=self.low.copy()) if only_earliest else self.low.copy()
        names = [named(one.copy(), f"k{position}") for position, one in enumerate(keys)]
        query = self.frame.select(*names, named(instant, "t"), correlated=not keys)
        for one in keys if only_earliest else [*keys, self.low]:
            query = query.group_by(one.copy(), copy=False)
        alias = self.writer.alias()
        smaller = Frame(self.frame.depth)
        smaller.add(derived(query, alias, lateral=False))
        smaller.correlation += [
            (here, column(alias, f"k{position}")) for position, (here, _) in enumerate(self.frame.correlation)
        ]
        self.frame, self.low = smaller, column(alias, "t")
        kept = {variable: one for variable, one in self.spot.scope.items() if variable not in labels}
        self.spot = Spot(kept, smaller)


def _unless_taken(element: ir.ChainElement) -> _Bounded:
    """Return what an element that may have no event asks of the time between its neighbours."""
    assert element.maximum is not None  # noqa: S101 - without a maximum it asks nothing
    return _Bounded(element, element.maximum, gap=element.gap, until_now=element.negated)


def _count(frame: Frame) -> SQL:
    return exp.Subquery(this=frame.select(exp.Count(this=exp.Star())))


def _counts_all(element: ir.ChainElement) -> bool:
    return element.is_exact or element.every
