"""Rules as clients send them, checked as AEP checks them: the text must parse, and its fields must exist."""

from __future__ import annotations

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
from app.errors import NotImplementedYet, PQLError
from app.pql.diagnostics import Diagnostic, Severity
from app.pql.fields import fields_used, segments_used
from app.pql.spans import position

MAX_RULE_CHARACTERS = 65_536


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that was checked. ``uses`` are the ids of the audiences whose members it asks for."""

    text: str
    format: str
    checked: pql.Checked
    uses: tuple[str, ...] = ()

    def expression(self) -> dict[str, str]:
        """Return the rule as it stands in a definition."""
        return {"type": "PQL", "format": self.format, "value": self.text}

    def allowed_method(self, wanted: models.EvaluationMethod) -> models.EvaluationMethod:
        """Return the evaluation method that the rule gets: batch where it is not eligible for the wanted one.

        Streaming and edge are given to rules that read profile attributes only. AEP also gives them to rules about
        events of the last 24 hours; those become batch here.
        """
        reads_events = any(field.partition(".")[0] == "xEvent" for field in fields_used(self.checked))
        return "batch" if reads_events else wanted


class RuleBook:
    """Reads, checks and converts rules."""

    def check(self, call: Call, body: Mapping[str, Any]) -> Rule:
        """Check the expression of a definition. Raises PQLError and NotImplementedYet."""
        _check_class(body)
        return self.parse_expression(call.organization, body["expression"])

    def parse_expression(self, organization: Organization, expression: Mapping[str, Any]) -> Rule:
        """Check an ``expression`` member. Raises PQLError and NotImplementedYet."""
        if expression.get("format", "pql/text") != "pql/text":
            raise NotImplementedYet(
                "Rules in the format pql/json are not evaluated by this emulator yet",
                hint="Send the rule as pql/text.",
            )
        return self.parse(organization, expression["value"])

    def parse(self, organization: Organization, text: str) -> Rule:
        """Check a rule in text against the fields of an organization. Raises PQLError, Refusal when it is too long."""
        if len(text) > MAX_RULE_CHARACTERS:
            raise Refusal(400, f"The rule is longer than {MAX_RULE_CHARACTERS} characters.")
        try:
            return _read(text, organization.namespace)
        except PQLError as fault:
            raise _as_refusal(text, fault) from fault

    def convert(self, call: Call, body: Mapping[str, Any]) -> dict[str, str]:
        """Return the expression of a body in the other format. Raises PQLError and NotImplementedYet."""
        _check_class(body)
        self.parse_expression(call.organization, body["expression"])
        raise NotImplementedYet("Conversion between pql/text and pql/json is not served by this emulator yet")


@lru_cache(maxsize=8192)
def _read(text: str, namespace: str) -> Rule:
    """Read a rule; a job reads those of a whole sandbox again and again."""
    checked = pql.check(pql.parse(text), checker_schema(namespace))
    return Rule(text, "pql/text", checked, segments_used(checked))


def _check_class(body: Mapping[str, Any]) -> None:
    name = body["schema"].get("name") or models.PROFILE_CLASS
    if name != models.PROFILE_CLASS:
        raise Refusal(400, f"The schema {name} is not known here. Use {models.PROFILE_CLASS}.")


def _as_refusal(text: str, fault: PQLError) -> Refusal:
    lines = [_line(text, one) for one in fault.diagnostics if one.severity is Severity.ERROR]
    return Refusal(400, lines or [fault.detail])


def _line(text: str, diagnostic: Diagnostic) -> str:
    line, column = position(text, diagnostic.span)
    said = f"PQL, line {line}, column {column}: {diagnostic.message}"
    if not said.endswith((".", "!", "?")):
        said += "."
    return f"{said} {diagnostic.hint}" if diagnostic.hint else said
