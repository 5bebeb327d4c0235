"""The Profile Query Language: text -> tree -> checked tree -> SQL.

    spans, diagnostics   where something stands, and what is to be said about it
    lexer, parser, ast   text to a tree, as written
    printer              tree to canonical text
    json_document, json_nodes, json_scope, json_reader, json_writer, origin, expressions
                         pql/json to the same tree and back, with what only the JSON has kept beside it
    types, schema        what values can be, which fields exist
    functions            the table of functions, for the checker, completion and the documentation
    checker              names and types: tree to `ir`; with calls, occurs, chains, scope
    ir                   the checked tree, which needs no other input
    times, regex         what periods and patterns mean, in one place for all evaluators
    layout, sql          where fields live in tables; checked tree to a statement
    reference            checked tree and one profile to true or false: slow, obvious, the judge
    fields               which fields and segments a rule reads
    memberships          memberships read by their path, as inSegment
    canonical            one form and one hash for all spellings of a rule
    explain              a rule in plain English
    difference           what changed between two rules
    blame                which version brought each clause
    remarks              what is doubtful about a rule that is in order
    rewriting            a rule moved to another organization's namespace
    eligibility          whether a rule may be evaluated as events stream in, or on the edge

Nothing here does I/O or reads a clock: the instant of evaluation is always an argument.
"""

from app.pql.ast import Query
from app.pql.blame import BlamedClause, blame
from app.pql.canonical import Canonical, canonical
from app.pql.checker import Checked, check
from app.pql.difference import Change, Clause, Difference, difference
from app.pql.eligibility import Eligibility, Reason, ReferencedSegment, classify
from app.pql.explain import explain
from app.pql.expressions import JSON, TEXT, Format, other_format, parse_expression, write_expression
from app.pql.fields import fields_used, segments_used
from app.pql.json_reader import parse_json
from app.pql.json_writer import to_json, to_json_text
from app.pql.memberships import by_segment
from app.pql.parser import parse
from app.pql.printer import format_query
from app.pql.remarks import remarks, review
from app.pql.rewriting import rewrite_namespace
from app.pql.sql import CompiledQuery, to_sql

__all__ = [
    "JSON",
    "TEXT",
    "BlamedClause",
    "Canonical",
    "Change",
    "Checked",
    "Clause",
    "CompiledQuery",
    "Difference",
    "Eligibility",
    "Format",
    "Query",
    "Reason",
    "ReferencedSegment",
    "blame",
    "by_segment",
    "canonical",
    "check",
    "classify",
    "difference",
    "explain",
    "fields_used",
    "format_query",
    "other_format",
    "parse",
    "parse_expression",
    "parse_json",
    "remarks",
    "review",
    "rewrite_namespace",
    "segments_used",
    "to_json",
    "to_json_text",
    "to_sql",
    "write_expression",
]
