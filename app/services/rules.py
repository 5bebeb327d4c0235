"""Rules in PQL: checked against the tenant's own schema before anything is sent to AEP."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app import pql
from app.aep import paths
from app.aep.models import Expression
from app.context import RequestContext
from app.errors import PQLError
from app.pql.diagnostics import Diagnostic
from app.pql.schema import Schema, XDMSchema
from app.pql.spans import position
from app.services.permissions import require
from app.store.database import Database

_REPORTS_KEPT = 2_000
"""Reports on rules that are kept for lists, which ask for the same rules again and again."""


@dataclass(frozen=True, slots=True)
class RuleDiagnostic:
    """One remark about a rule. Lines and columns count from 1; ``start`` and ``end`` are offsets into the text.

    For a rule in pql/json they are places in its canonical text, and ``place`` is the place in the tree, such as
    ``$.params[1].object``.
    """

    severity: str
    code: str
    message: str
    hint: str | None
    start: int
    end: int
    line: int
    column: int
    place: str | None = None

    @property
    def where(self) -> str:
        """The place in words that begin a sentence."""
        return f"Line {self.line}, column {self.column}" if self.place is None else f"At {self.place}"


class InvalidRule(PQLError):
    """A rule that was refused; its diagnostics are `RuleDiagnostic` values."""


@dataclass(frozen=True, slots=True)
class RuleReport:
    """What is known about a rule. What follows the diagnostics is only there when the rule is valid.

    ``canonical`` is the text as the formatter writes it. ``hash`` is equal for rules that differ in spelling only.
    """

    valid: bool
    diagnostics: tuple[RuleDiagnostic, ...]
    canonical: str | None = None
    hash: str | None = None
    json: str | None = None
    explanation: str | None = None
    fields: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    eligibility: pql.Eligibility | None = None


@dataclass(frozen=True, slots=True)
class ConvertedRule:
    """A rule in ``format``. ``value`` is None when the rule could not be read."""

    format: str
    value: str | None
    diagnostics: tuple[RuleDiagnostic, ...]


class RuleService:
    """Checks rules against the union schema of the request's sandbox.

    Before the first sync there is no schema; rules are then checked as far as that is possible without.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._schemas: dict[UUID, tuple[datetime, Schema]] = {}
        self._reports: dict[tuple[Schema | None, str, str], RuleReport] = {}

    async def check(self, ctx: RequestContext, value: str, format_name: str = pql.TEXT) -> RuleReport:
        """Return everything there is to say about a rule; a faulty one is an answer, not an exception."""
        require(ctx, "validate_pql")
        schema = await self._schema(ctx)
        key = (schema, format_name, value)
        if key not in self._reports:
            while len(self._reports) >= _REPORTS_KEPT:
                self._reports.pop(next(iter(self._reports)))
            self._reports[key] = _report(value, format_name, schema)
        return self._reports[key]

    def convert(self, ctx: RequestContext, value: str, format_name: str) -> ConvertedRule:
        """Return a rule in the other format, without asking AEP; a faulty one is an answer, not an exception.

        Only its form is looked at: fields need not exist, so that rules of other sandboxes can be converted too.
        """
        require(ctx, "convert_pql")
        wanted = pql.other_format(format_name)
        text = value
        try:
            query = pql.parse_expression(format_name, value)
            text = query.text
            converted = pql.write_expression(wanted, query)
        except PQLError as problem:
            return ConvertedRule(wanted, None, tuple(to_rule_diagnostic(text, one) for one in problem.diagnostics))
        notes = query.origin.notes if query.origin is not None else ()
        return ConvertedRule(wanted, converted, tuple(to_rule_diagnostic(text, one) for one in notes))

    async def require_valid(self, ctx: RequestContext, expression: Expression) -> None:
        """Raise `InvalidRule` unless the expression of a definition parses and fits the schema."""
        schema = await self._schema(ctx)
        text = expression.value
        try:
            query = pql.parse_expression(expression.format, expression.value)
            text = query.text
            pql.check(query, schema)
        except PQLError as problem:
            diagnostics = [to_rule_diagnostic(text, one) for one in problem.diagnostics]
            raise InvalidRule(problem.detail, diagnostics, hint=problem.hint) from problem

    async def _schema(self, ctx: RequestContext) -> Schema | None:
        async with self._database.read(ctx.tenant.id) as unit:
            row = await unit.tenancy.schema_unions(ctx.sandbox.id)
        if row is None:
            return None
        held = self._schemas.get(ctx.sandbox.id)
        if held is None or held[0] != row.synced_at:
            held = self._schemas[ctx.sandbox.id] = (row.synced_at, _schema_of(row.unions))
        return held[1]


def _schema_of(unions: dict[str, Any]) -> Schema:
    records = {
        paths.class_name(document["meta:class"]): document
        for document in unions.values()
        if isinstance(document.get("meta:class"), str)
    }
    return XDMSchema.from_json_schema(unions[paths.PROFILE_UNION], unions[paths.EXPERIENCE_EVENT_UNION], records)


def _report(value: str, format_name: str, schema: Schema | None) -> RuleReport:
    text = value
    try:
        query = pql.parse_expression(format_name, value)
        text = query.text
        checked = pql.review(query, schema)
    except PQLError as problem:
        return RuleReport(False, tuple(to_rule_diagnostic(text, one) for one in problem.diagnostics))
    return RuleReport(
        valid=True,
        diagnostics=tuple(to_rule_diagnostic(text, one) for one in checked.diagnostics),
        canonical=pql.format_query(query),
        hash=pql.canonical(query).hash,
        json=pql.write_expression(pql.JSON, query),
        explanation=pql.explain(query),
        fields=pql.fields_used(checked),
        segments=pql.segments_used(checked),
        eligibility=pql.classify(checked),
    )


def to_rule_diagnostic(text: str, diagnostic: Diagnostic) -> RuleDiagnostic:
    """Return a diagnostic with its place in ``text`` as line and column."""
    line, column = position(text, diagnostic.span)
    return RuleDiagnostic(
        severity=str(diagnostic.severity),
        code=diagnostic.code,
        message=diagnostic.message,
        hint=diagnostic.hint,
        start=diagnostic.span.start,
        end=diagnostic.span.end,
        line=line,
        column=column,
        place=diagnostic.place,
    )
