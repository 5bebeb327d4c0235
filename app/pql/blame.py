"""Which version of a rule brought each of its clauses.

Clauses are what ``and`` and ``or`` join, in canonical form, so a clause that is only moved or spelled otherwise is no
newer for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.pql import ast
from app.pql.canonical import canonical
from app.pql.difference import Clause


@dataclass(frozen=True, slots=True)
class BlamedClause:
    """A clause of the newest version. ``index`` counts the versions that were given, from 0 for the newest."""

    clause: Clause
    index: int


def blame(versions: Sequence[ast.Query | None]) -> tuple[BlamedClause, ...]:
    """Return the clauses of the newest version, in the order of its text, each with the version that brought it.

    ``versions`` are newest first; ``None`` stands for one that cannot be read, across which no clause is followed. The
    oldest one given is taken to have brought everything that it has.
    """
    newest = versions[0] if versions else None
    if newest is None:
        return ()
    clauses = list(_clauses(canonical(newest).tree))
    since = dict.fromkeys(range(len(clauses)), 0)
    followed = set(since)
    for index, version in enumerate(versions[1:], start=1):
        present = [] if version is None else list(_clauses(canonical(version).tree))
        followed = {one for one in followed if clauses[one] in present}
        if not followed:
            break
        since |= dict.fromkeys(followed, index)
    found = [
        BlamedClause(Clause(newest.text[slice(*clause.span)], clause.span), since[number])
        for number, clause in enumerate(clauses)
    ]
    return tuple(sorted(found, key=lambda one: one.clause.span))


def _clauses(tree: ast.Expr) -> Iterator[ast.Expr]:
    """Yield what the logical operators at the top of a rule join, those inside each other opened."""
    if isinstance(tree, ast.Logical):
        for operand in tree.operands:
            yield from _clauses(operand)
    else:
        yield tree
