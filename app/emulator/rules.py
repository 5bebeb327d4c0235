"""Rules as clients send them, checked as AEP checks them: the text must parse, and its fields must exist."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from app import pql
from app.aep import models
from app.emulator.answers import Refusal
from app.emulator.gate import Call
from app.emulator.organizations import Organization
from app.emulator.schemas import checker_schema
from app.errors import PQLError
from app.pql.diagnostics import Diagnostic, Severity
from app.pql.fields import segments_used
from app.pql.spans import position

MAX_RULE_CHARACTERS = 65_536


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that was checked. ``text`` is as it was sent, in its format.

    ``uses`` are the ids of the audiences whose members it asks for.
    """

    text: str
    format: str
    checked: pql.Checked
    uses: tuple[str, ...] = ()

    def expression(self) -> dict[str, str]:
        """Return the rule as it stands in a definition."""
        return {"type": "PQL", "format": self.format, "value": self.text}

    def allowed_method(self, wanted: models.EvaluationMethod) -> models.EvaluationMethod:
        """Return the evaluation method that the rule gets: batch where it is not eligible for the wanted one.

        The criteria are AEP's of 20 May 2025: see `app.pql.eligibility`.
        """
        eligibility = pql.classify(self.checked)
        match wanted:
            case "continuous":
                return wanted if eligibility.streaming else "batch"
            case "synchronous":
                return wanted if eligibility.edge else "batch"
        return wanted


class RuleBook:
    """Reads, checks and converts rules."""

    def check(self, call: Call, body: Mapping[str, Any]) -> Rule:
        """Check the expression of a definition. Raises Refusal."""
        _check_class(body)
        return self.parse_expression(call.organization, body["expression"])

    def parse_expression(self, organization: Organization, expression: Mapping[str, Any]) -> Rule:
        """Check an ``expression`` member, in either format. Raises Refusal."""
        value = expression["value"]
        # A client may send the tree itself; what is kept is text in both formats.
        text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        return self.parse(organization, text, expression.get("format", pql.TEXT))

    def parse(self, organization: Organization, text: str, format_name: str = pql.TEXT) -> Rule:
        """Check a rule against the fields of an organization. Raises Refusal, also when it is too long."""
        if format_name == pql.TEXT and len(text) > MAX_RULE_CHARACTERS:
            raise Refusal(400, f"The rule is longer than {MAX_RULE_CHARACTERS} characters.")
        try:
            return _read(text, format_name, organization.namespace)
        except PQLError as fault:
            raise _as_refusal(text, fault) from fault

    def convert(self, call: Call, body: Mapping[str, Any]) -> dict[str, str]:
        """Return the expression of a body in the other format. Raises Refusal."""
        rule = self.check(call, body)
        wanted = pql.other_format(rule.format)
        try:
            value = pql.write_expression(wanted, rule.checked.query)
        except PQLError as fault:
            raise _as_refusal(rule.text, fault) from fault
        return {"type": "PQL", "format": wanted, "value": value}


@lru_cache(maxsize=8192)
def _read(text: str, format_name: str, namespace: str) -> Rule:
    """Read a rule; a job reads those of a whole sandbox again and again."""
    checked = pql.check(pql.parse_expression(format_name, text), checker_schema(namespace))
    return Rule(text, format_name, checked, segments_used(checked))


def _check_class(body: Mapping[str, Any]) -> None:
    name = body["schema"].get("name") or models.PROFILE_CLASS
    if name != models.PROFILE_CLASS:
        raise Refusal(400, f"The schema {name} is not known here. Use {models.PROFILE_CLASS}.")


def _as_refusal(text: str, fault: PQLError) -> Refusal:
    lines = [_line(text, one) for one in fault.diagnostics if one.severity is Severity.ERROR]
    return Refusal(400, lines or [fault.detail])


def _line(text: str, diagnostic: Diagnostic) -> str:
    if diagnostic.place is not None:
        where = f"at {diagnostic.place}"
    else:
        line, column = position(text, diagnostic.span)
        where = f"line {line}, column {column}"
    said = f"PQL, {where}: {diagnostic.message}"
    if not said.endswith((".", "!", "?")):
        said += "."
    return f"{said} {diagnostic.hint}" if diagnostic.hint else said
