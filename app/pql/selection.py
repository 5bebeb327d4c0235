"""Checked tree to SQL: a statement that selects the numbers of the profiles that a rule holds for.

Every literal is a numbered parameter, every name a quoted identifier of the layout's own. Each test is wrapped so that
it is true or false and never NULL, and ``NOT`` over it means what it says. A test on an array is an EXISTS over its
table. Times that a rule names (``now``, ``today``, days) are computed here and bound.

What has no SQL yet is refused with its place in the rule; `reference` judges it all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo

from sqlglot import exp

from app.errors import PQLError
from app.pql import ir, times
from app.pql.checker import Checked
from app.pql.diagnostics import error, rejection
from app.pql.layout import Layout, Table
from app.pql.times import Endpoint, Interval

_COMPARISONS: dict[str, type[exp.Binary]] = {
    "=": exp.EQ,
    "!=": exp.NEQ,
    "<": exp.LT,
    "<=": exp.LTE,
    ">": exp.GT,
    ">=": exp.GTE,
}
_STRING_FUNCTIONS = {"startsWith": "starts_with", "endsWith": "ends_with", "contains": "contains"}

SQL = exp.Expr


@dataclass(frozen=True, slots=True)
class CompiledQuery:
    """A statement with one column of distinct profile numbers, and the values of its placeholders."""

    select: exp.Select
    parameters: tuple[object, ...]

    def sql(self, dialect: str = "duckdb") -> str:
        """Return the statement as text."""
        return self.select.sql(dialect=dialect)


def to_sql(checked: Checked, layout: Layout, now: datetime, zone: tzinfo = UTC) -> CompiledQuery:
    """Compile a rule for a layout; ``now`` is the instant of evaluation. Raises `PQLError` for what has no SQL yet."""
    profiles = layout.profiles
    if profiles.profile_key is None:
        raise ValueError("the profiles of a layout need a column with their number")
    writer = _Writer(checked.query.text, layout, now, zone)
    condition = writer.predicate(checked.root, {checked.profile: _Row("p", profiles)})
    select = exp.Select(expressions=[_column("p", profiles.profile_key)], where=exp.Where(this=condition))
    return CompiledQuery(select.from_(_table(profiles.name, "p")), tuple(writer.parameters))


@dataclass(frozen=True, slots=True)
class _Row:
    """What a variable stands for: a row of a table under an alias."""

    alias: str
    table: Table


# A variable stands for a row, or for a single value in one.
_Scope = dict[ir.Variable, _Row | SQL]


@dataclass(slots=True)
class _Writer:
    text: str
    layout: Layout
    now: datetime
    zone: tzinfo
    parameters: list[object] = field(default_factory=list)
    _aliases: int = 0

    def predicate(self, node: ir.Expr, scope: _Scope) -> SQL:
        """Return a condition that is true or false, never NULL."""
        match node:
            case ir.And(operands=operands):
                return _grouped(exp.and_(*(self.predicate(one, scope) for one in operands)))
            case ir.Or(operands=operands):
                return _grouped(exp.or_(*(self.predicate(one, scope) for one in operands)))
            case ir.Not(operand=operand):
                return exp.Not(this=_grouped(self.predicate(operand, scope)))
            case ir.Constant(value=bool(value)):
                return exp.Boolean(this=value)
        return self._test(node, scope)

    def _test(self, node: ir.Expr, scope: _Scope) -> SQL:
        match node:
            case ir.Truth(value=value):
                return _settled(self.value(value, scope))
            case ir.IsNull(value=value):
                return _grouped(exp.Is(this=self.value(value, scope), expression=exp.Null()))
            case ir.Comparison(operator=operator, left=left, right=right):
                sides = self.value(left, scope), self.value(right, scope)
                return _settled(_COMPARISONS[operator](this=sides[0], expression=sides[1]))
            case ir.OneOf():
                return self._one_of(node, scope)
            case ir.StringTest():
                return self._string_test(node, scope)
            case ir.Occurs():
                return self._occurs(node, scope)
            case ir.Some(bindings=bindings):
                return self._some(bindings, scope)
            case ir.Chain():
                return self._chain(node, scope)
        raise self._not_yet(node)

    def value(self, node: ir.Expr, scope: _Scope) -> SQL:
        """Return a single value, which may be NULL."""
        match node:
            case ir.Constant(value=value):
                return self._bound(value)
            case ir.Day(day=day):
                return self._instant(times.midnight(day, self.zone))
            case ir.Instant(at=at):
                return self._instant(at)
            case ir.Reference(variable=variable):
                place = scope.get(variable)
                if isinstance(place, exp.Expr):
                    return place.copy()
            case ir.Field(object=ir.Reference(variable=variable), path=path):
                place = scope.get(variable)
                name = self.layout.column(place.table, path) if isinstance(place, _Row) else None
                if isinstance(place, _Row) and name is not None:
                    return _column(place.alias, name)
        raise self._not_yet(node)

    def _one_of(self, node: ir.OneOf, scope: _Scope) -> SQL:
        subject = self.value(node.value, scope)
        members = [self.value(member, scope) for member in node.members]
        if not members:
            # Nothing is in an empty list, and every value that is there is not in it.
            known = exp.Not(this=_grouped(exp.Is(this=subject, expression=exp.Null())))
            return known if node.negated else exp.Boolean(this=False)
        test = exp.In(this=subject, expressions=members)
        return _settled(exp.Not(this=_grouped(test)) if node.negated else test)

    def _string_test(self, node: ir.StringTest, scope: _Scope) -> SQL:
        subject, argument = (_as_text(self.value(one, scope)) for one in (node.subject, node.argument))
        if not node.case_sensitive:
            subject, argument = _function("lower", subject), _function("lower", argument)
        if node.relation == "equals":
            test: SQL = exp.EQ(this=subject, expression=argument)
        else:
            test = _function(_STRING_FUNCTIONS[node.relation], subject, argument)
        return _settled(exp.Not(this=_grouped(test)) if node.negated else test)

    def _occurs(self, node: ir.Occurs, scope: _Scope) -> SQL:
        if node.ignores_year:
            raise self._not_yet(node)
        timestamp = self.value(node.timestamp, scope)
        intervals = [self._lies_in(timestamp, interval) for interval in times.window(node.test)]
        return _settled(_grouped(exp.or_(*intervals)))

    def _lies_in(self, timestamp: SQL, interval: Interval) -> SQL:
        bounds: list[SQL] = []
        if interval.low is not None:
            kind: type[exp.Binary] = exp.GT if interval.low_open else exp.GTE
            bounds.append(kind(this=timestamp.copy(), expression=self._endpoint(interval.low)))
        if interval.high is not None:
            kind = exp.LT if interval.high_open else exp.LTE
            bounds.append(kind(this=timestamp.copy(), expression=self._endpoint(interval.high)))
        return _grouped(exp.and_(*bounds))

    def _endpoint(self, endpoint: Endpoint) -> SQL:
        """Return the instant that an endpoint means; it must not depend on the profile."""
        match endpoint.reference:
            case ir.Period() as period:
                bounds = times.period_bounds(period, self.now, self.zone)
            case ir.Day(day=day):
                bounds = times.day_bounds(day, self.zone)
            case ir.Instant(at=at):
                bounds = (at, at)
            case reference:
                raise self._not_yet(reference)
        at = times.move(bounds[endpoint.edge == "end"], endpoint.count, endpoint.unit, self.zone)
        if endpoint.bucket is not None:
            at = times.bucket_bounds(at, endpoint.unit, self.zone)[endpoint.bucket == "end"]
        return self._instant(at)

    def _some(self, bindings: tuple[ir.Binding, ...], scope: _Scope) -> SQL:
        """Return EXISTS over the first binding's rows, with the other bindings inside."""
        first, *rest = bindings
        if isinstance(first.source, ir.Mapped) and first.source.projects:
            row, joined = self._rows(first.source.source, scope)
            value = self.value(first.source.body, {**scope, first.source.variable: row})
            # A projection has no nulls in it.
            tests = [joined, exp.Not(this=_grouped(exp.Is(this=value.copy(), expression=exp.Null())))]
            inner: _Scope = {**scope, first.variable: value}
        else:
            row, joined = self._rows(first.source, scope)
            tests = [joined]
            inner = {**scope, first.variable: row}
        if first.where is not None:
            tests.append(self.predicate(first.where, inner))
        if rest:
            tests.append(self._some(tuple(rest), inner))
        return _exists(row, tests)

    def _chain(self, node: ir.Chain, scope: _Scope) -> SQL:
        """Return the test for a chain of one event, which has no order to keep."""
        element = node.elements[0]
        is_plain = element.minimum == 1 and element.maximum is None and not element.every and element.gap is None
        if len(node.elements) != 1 or not is_plain:
            raise self._not_yet(node)
        row, joined = self._rows(node.collection, scope)
        inner = {**scope, element.variable: row}
        ordered = self.layout.column(row.table, node.order_by)
        if ordered is None:
            raise self._not_yet(node)
        has_order = exp.Not(this=_grouped(exp.Is(this=_column(row.alias, ordered), expression=exp.Null())))
        tests = [joined, has_order, self.predicate(element.what, inner)]
        if element.when is not None:
            tests.append(self.predicate(element.when, inner))
        found = _exists(row, tests)
        return exp.Not(this=found) if element.negated else found

    def _rows(self, source: ir.Expr, scope: _Scope) -> tuple[_Row, SQL]:
        """Return the rows of an array of objects, and the condition that joins them to their owner."""
        match source:
            case ir.Field(object=ir.Reference(variable=variable), path=path):
                owner = scope.get(variable)
                child = self.layout.child(owner.table, path) if isinstance(owner, _Row) else None
                if isinstance(owner, _Row) and child is not None and not child.keys and child.value is None:
                    self._aliases += 1
                    row = _Row(f"t{self._aliases}", child.table)
                    pairs = [
                        exp.EQ(this=_column(row.alias, there), expression=_column(owner.alias, here))
                        for here, there in child.join
                    ]
                    return row, exp.and_(*pairs)
        raise self._not_yet(source)

    def _instant(self, at: datetime) -> SQL:
        """Return an instant as the columns hold it: in UTC, without a zone."""
        bound = self._bound(at.astimezone(UTC).replace(tzinfo=None))
        return exp.Cast(this=bound, to=exp.DataType.build("TIMESTAMP"))

    def _bound(self, value: object) -> SQL:
        self.parameters.append(value)
        return exp.Parameter(this=exp.Literal.number(len(self.parameters)))

    def _not_yet(self, node: ir.Expr) -> PQLError:
        words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in type(node).__name__).strip()
        message = f"This part of the rule ({words}) is not supported yet: it can be stored, but not evaluated here."
        return rejection(self.text, [error("not-supported-yet", message, node.span)])


def _settled(test: SQL) -> SQL:
    """Return a test that is false where it would be NULL."""
    return exp.Coalesce(this=test, expressions=[exp.Boolean(this=False)])


def _grouped(test: SQL) -> SQL:
    return exp.Paren(this=test)


def _exists(row: _Row, tests: list[SQL]) -> SQL:
    select = exp.Select(expressions=[exp.Literal.number(1)], where=exp.Where(this=exp.and_(*tests)))
    return exp.Exists(this=select.from_(_table(row.table.name, row.alias)))


def _identifier(name: str) -> exp.Identifier:
    return exp.Identifier(this=name, quoted=True)


def _column(alias: str, name: str) -> exp.Column:
    return exp.Column(this=_identifier(name), table=_identifier(alias))


def _table(name: str, alias: str) -> exp.Table:
    return exp.Table(this=_identifier(name), alias=exp.TableAlias(this=_identifier(alias)))


def _as_text(value: SQL) -> SQL:
    return exp.Cast(this=value, to=exp.DataType.build("VARCHAR"))


def _function(name: str, *arguments: SQL) -> SQL:
    return exp.Anonymous(this=name, expressions=list(arguments))
