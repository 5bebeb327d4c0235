"""What the gateway says of a rule."""

from __future__ import annotations

from enum import Enum

import strawberry

from app.graphql.types.shared import Diagnostic, ExpressionFormat, to_diagnostic
from app.pql.eligibility import Eligibility as EligibilityValue
from app.services.rules import RuleReport as RuleReportValue


@strawberry.enum(description="How AEP evaluates a segment.")
class EvaluationMethod(Enum):
    """The methods, by the words of people; AEP calls streaming continuous, and edge synchronous."""

    BATCH = "batch"
    STREAMING = "streaming"
    EDGE = "edge"


@strawberry.type(description="Why a rule cannot be evaluated by some methods.")
class EligibilityReason:
    """A reason, and the clause that decides it."""

    code: str = strawberry.field(description="Stable code in kebab case, such as window-too-long.")
    message: str = strawberry.field(description="The reason.")
    methods: list[EvaluationMethod] = strawberry.field(description="The methods that it excludes.")
    start: int = strawberry.field(description="Offset of the clause's first character, from 0.")
    end: int = strawberry.field(description="Offset after the clause's last character.")


@strawberry.type(description="How a rule may be evaluated, by Adobe's criteria since 20 May 2025.")
class Eligibility:
    """The methods that a rule is eligible for."""

    batch: bool = strawberry.field(description="Whether jobs may evaluate it; every rule may be.")
    streaming: bool = strawberry.field(description="Whether it may be evaluated as records arrive.")
    edge: bool = strawberry.field(description="Whether it may be evaluated on the edge.")
    reasons: list[EligibilityReason] = strawberry.field(description="Every reason against streaming or edge.")


def to_eligibility(found: EligibilityValue) -> Eligibility:
    """Return the language's answer as the schema's type."""
    return Eligibility(
        batch=found.batch,
        streaming=found.streaming,
        edge=found.edge,
        reasons=[
            EligibilityReason(
                code=one.code,
                message=one.message,
                methods=[EvaluationMethod(method) for method in one.methods],
                start=one.span.start,
                end=one.span.end,
            )
            for one in found.reasons
        ],
    )


@strawberry.type(description="What is known about a rule. All but the diagnostics is null or empty unless it is valid.")
class RuleReport:
    """The result of a check."""

    valid: bool = strawberry.field(description="Whether AEP would accept the rule.")
    canonical: str | None = strawberry.field(description="The rule as the formatter writes it.")
    hash: str | None = strawberry.field(description="Equal for rules that mean the same but are spelled differently.")
    explanation: str | None = strawberry.field(description="The rule in plain English, one clause on a line.")
    fields: list[str] = strawberry.field(description="The fields that it reads, as paths.")
    segments: list[str] = strawberry.field(description="The ids of the segments that it refers to.")
    eligibility: Eligibility | None = strawberry.field(description="How it may be evaluated.")
    diagnostics: list[Diagnostic] = strawberry.field(description="What is wrong or doubtful.")


def to_rule_report(found: RuleReportValue) -> RuleReport:
    """Return the service's answer as the schema's type."""
    return RuleReport(
        valid=found.valid,
        canonical=found.canonical,
        hash=found.hash,
        explanation=found.explanation,
        fields=list(found.fields),
        segments=list(found.segments),
        eligibility=None if found.eligibility is None else to_eligibility(found.eligibility),
        diagnostics=[to_diagnostic(one) for one in found.diagnostics],
    )


@strawberry.input(description="A rule to convert into the other format.")
class ConvertPqlInput:
    """A rule and the format that it has."""

    format: ExpressionFormat = strawberry.field(description="The format of the value.")
    value: str = strawberry.field(description="The rule; a JSON tree as text.")


@strawberry.type(description="A rule in the other format.")
class ConvertedPql:
    """The result of a conversion."""

    format: ExpressionFormat = strawberry.field(description="The format of the value.")
    value: str | None = strawberry.field(description="Canonical text or compact JSON; null when it cannot be read.")
    diagnostics: list[Diagnostic] = strawberry.field(description="Why not, or what was changed on the way.")
