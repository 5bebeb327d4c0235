"""The Profile Query Language: text -> tree -> checked tree -> SQL.

    spans, diagnostics   where something stands, and what is to be said about it
    lexer, parser, ast   text to a tree, as written
    printer              tree to canonical text
    types, schema        what values can be, which fields exist
    functions            the table of functions, for the checker, completion and the documentation
    checker              names and types: tree to `ir`; with calls, occurs, chains, scope
    ir                   the checked tree, which needs no other input
    times, regex         what periods and patterns mean, in one place for all evaluators
    layout, sql          where fields live in tables; checked tree to a statement
    reference            checked tree and one profile to true or false: slow, obvious, the judge
    fields               which fields a rule reads

Nothing here does I/O or reads a clock: the instant of evaluation is always an argument.
"""

from app.pql.ast import Query
from app.pql.checker import Checked, check
from app.pql.fields import fields_used, segments_used
from app.pql.parser import parse
from app.pql.printer import format_query
from app.pql.sql import CompiledQuery, to_sql

__all__ = [
    "Checked",
    "CompiledQuery",
    "Query",
    "check",
    "fields_used",
    "format_query",
    "parse",
    "segments_used",
    "to_sql",
]
