"""Rules of segment definitions."""

from __future__ import annotations

from typing import Any

import strawberry

from app.graphql.context import Info
from app.graphql.types.rules import Eligibility, to_eligibility
from app.services.rules import RuleReport


@strawberry.type(description="The rule of a segment definition.")
class Expression:
    """A rule, as stored and as understood."""

    format: str = strawberry.field(description="pql/text or pql/json.")
    text: str = strawberry.field(description="The rule as AEP stores it.")

    async def _report(self, info: Info) -> RuleReport:
        return await info.context.services.rules.check(info.context.request, self.text, self.format)

    @strawberry.field(description="The rule as the formatter writes it; null when it cannot be read.")
    async def canonical(self, info: Info) -> str | None:
        """Format the rule."""
        return (await self._report(info)).canonical

    @strawberry.field(description="Equal for rules that mean the same but are spelled differently.")
    async def hash(self, info: Info) -> str | None:
        """Hash the canonical form."""
        return (await self._report(info)).hash

    @strawberry.field(description="The rule as a pql/json tree; null when it cannot be read.")
    async def json(self, info: Info) -> str | None:
        """Write the rule as JSON."""
        return (await self._report(info)).json

    @strawberry.field(description="The rule in plain English, one clause on a line; null when it cannot be read.")
    async def explanation(self, info: Info) -> str | None:
        """Explain the rule."""
        return (await self._report(info)).explanation

    @strawberry.field(description="The fields that the rule reads, as paths.")
    async def fields(self, info: Info) -> list[str]:
        """Name the fields."""
        return list((await self._report(info)).fields)

    @strawberry.field(description="The ids of the segments that the rule refers to.")
    async def segments(self, info: Info) -> list[str]:
        """Name the segments."""
        return list((await self._report(info)).segments)

    @strawberry.field(description="How the rule may be evaluated; null when it cannot be read.")
    async def eligibility(self, info: Info) -> Eligibility | None:
        """Tell the methods."""
        found = (await self._report(info)).eligibility
        return None if found is None else to_eligibility(found)


def to_expression(document: dict[str, Any]) -> Expression:
    """Return the rule of a definition as AEP sent it."""
    found = document.get("expression") or {}
    return Expression(format=str(found.get("format", "pql/text")), text=str(found.get("value", "")))
