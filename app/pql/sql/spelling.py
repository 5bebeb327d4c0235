"""How pieces of a statement are spelled: quoted names, functions of a closed set, tests that are never NULL."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

SQL = exp.Expr

FUNCTIONS: Final = frozenset(
    {
        *("lower", "upper", "replace", "starts_with", "ends_with", "contains"),
        *("regexp_matches", "regexp_extract", "isfinite", "row", "fsum", "greatest", "least"),
        *("timezone", "epoch_us", "to_microseconds", "to_days", "to_months", "to_years", "dayofweek", "date_trunc"),
    }
)
"""Every function that is called by its name; nothing else is ever printed as one."""

TYPES: Final = frozenset({"VARCHAR", "BIGINT", "HUGEINT", "DOUBLE", "BOOLEAN", "TIMESTAMP", "DATE", "INTEGER"})
PARTS: Final = frozenset({"year", "month", "day"})

LONGEST: Final = (-(2**63), 2**63 - 1)
"""The least and the greatest integer of the language."""


def identifier(name: str) -> exp.Identifier:
    """Return a name, quoted."""
    return exp.Identifier(this=name, quoted=True)


def column(alias: str, name: str) -> exp.Column:
    """Return a column of a table under its alias."""
    return exp.Column(this=identifier(name), table=identifier(alias))


def table(name: str, alias: str) -> exp.Table:
    """Return a table under an alias."""
    return exp.Table(this=identifier(name), alias=exp.TableAlias(this=identifier(alias)))


def derived(select: exp.Query, alias: str, *, lateral: bool) -> exp.Expr:
    """Return a sub-query as a table; ``lateral`` lets it see the tables before it."""
    name = exp.TableAlias(this=identifier(alias))
    if lateral:
        return exp.Lateral(this=exp.Subquery(this=select), alias=name)
    return exp.Subquery(this=select, alias=name)


def named(value: SQL, name: str) -> exp.Alias:
    """Return a value under a column name of its own."""
    return exp.Alias(this=value, alias=identifier(name))


def function(name: str, *arguments: SQL) -> SQL:
    """Return a call. Only names of `FUNCTIONS` are spelled."""
    if name not in FUNCTIONS:
        raise ValueError(f"{name} is no function that statements may call")
    return exp.Anonymous(this=name, expressions=list(arguments))


def cast(value: SQL, type_: str) -> SQL:
    """Return a value as a type of `TYPES`."""
    if type_ not in TYPES:
        raise ValueError(f"{type_} is no type of the compiler's")
    return exp.Cast(this=value, to=exp.DataType.build(type_, dialect="duckdb"))


def part_of(part: str, instant: SQL) -> SQL:
    """Return the year, month or day of a timestamp as an integer."""
    if part not in PARTS:
        raise ValueError(f"{part} is no part of a date")
    return exp.Extract(this=exp.Var(this=part), expression=instant)


def truncated(unit: str, instant: SQL) -> SQL:
    """Return the start of the year, month or day that holds a timestamp."""
    if unit not in PARTS:
        raise ValueError(f"timestamps are not cut to {unit}")
    return cast(function("date_trunc", exp.Literal.string(unit), instant), "TIMESTAMP")


def number(value: int) -> SQL:
    """Return a number of the compiler's own, such as a bound of 64 bits; never one of the rule's."""
    literal = exp.Literal.number(abs(value))
    return exp.Neg(this=literal) if value < 0 else literal


def grouped(value: SQL) -> SQL:
    """Return a value in parentheses."""
    return exp.Paren(this=value)


def settled(test: SQL) -> SQL:
    """Return a test that is false where it would be NULL."""
    return exp.Coalesce(this=test, expressions=[exp.Boolean(this=False)])


def conjuncts(test: SQL) -> list[SQL]:
    """Return the parts of a test that must all hold, for a place where NULL counts as false.

    There they need no COALESCE, which would keep the database from skipping rows by what it knows of a column.
    """
    if isinstance(test, exp.Paren):
        return conjuncts(test.this)
    if isinstance(test, exp.And):
        return [*conjuncts(test.left), *conjuncts(test.right)]
    if isinstance(test, exp.Coalesce) and test.expressions == [exp.Boolean(this=False)]:
        return conjuncts(test.this)
    return [test]


def negated(test: SQL) -> SQL:
    """Return the opposite of a test that is never NULL."""
    return exp.Not(this=grouped(test))


def is_null(value: SQL) -> SQL:
    """Return whether a value is NULL."""
    return grouped(exp.Is(this=value, expression=exp.Null()))


def is_known(value: SQL) -> SQL:
    """Return whether a value is not NULL."""
    return negated(exp.Is(this=value, expression=exp.Null()))


def all_of(*tests: SQL) -> SQL:
    """Return whether all tests hold; true when there are none."""
    return grouped(exp.and_(*tests)) if tests else exp.Boolean(this=True)


def any_of(*tests: SQL) -> SQL:
    """Return whether some test holds; false when there are none."""
    return grouped(exp.or_(*tests)) if tests else exp.Boolean(this=False)


def when(condition: SQL, then: SQL, otherwise: SQL | None = None) -> SQL:
    """Return one of two values; without the second, NULL."""
    return exp.Case(ifs=[exp.If(this=condition, true=then)], default=otherwise)


def folded(text: SQL) -> SQL:
    """Return a text without its differences of letter case: to upper case, then to lower case, letter by letter."""
    return function("lower", function("upper", text))
