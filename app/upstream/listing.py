"""Reading whole lists of AEP, page by page, and asking which objects are still there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.aep.models import BULK_GET_MAX
from app.errors import UpstreamRefused, UpstreamUnavailable
from app.upstream.client import AEPClient, Call
from app.upstream.connection import Target

PAGE_SIZE: Final = 100
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of a list, and how many objects the list has by AEP's count; ``None`` when it does not say."""

    items: list[Document]
    total: int | None


def read_page(body: Any, items: str, page: str, what: str) -> Listed:
    """Return a page whose objects are in ``items`` and whose numbers are in ``page``.

    Raises `UpstreamUnavailable` for an answer that is no such page.
    """
    if not isinstance(body, dict) or not isinstance(body.get(items), list):
        raise UpstreamUnavailable(f"Adobe Experience Platform sent a list of {what} that cannot be read.")
    numbers = body.get(page)
    total = numbers.get("totalCount") if isinstance(numbers, dict) else None
    readable = [one for one in body[items] if isinstance(one, dict) and isinstance(one.get("id"), str)]
    return Listed(readable, total if isinstance(total, int) else None)


async def list_children(
    client: AEPClient, target: Target, operation: str, path: str, what: str, *, sort: str | None = None
) -> AsyncIterator[Listed]:
    """Yield every page of a list whose pages name the next. AEP's ``start`` is a page index, in spite of its name."""
    start = "0"
    while True:
        params = [("limit", str(PAGE_SIZE)), ("start", start)]
        if sort is not None:
            params.append(("sort", sort))
        body = (await client.read(target, Call(operation, "GET", path, tuple(params)))).body
        yield read_page(body, "children", "_page", what)
        following = (body.get("_page") or {}).get("next")
        if following in (None, "", start):
            return
        start = str(following)


async def bulk_get(
    client: AEPClient, target: Target, operation: str, path: str, ids: Sequence[str]
) -> dict[str, Document]:
    """Return those of the objects that exist, a hundred with each call."""
    found: dict[str, Document] = {}
    for start in range(0, len(ids), BULK_GET_MAX):
        body = {"ids": [{"id": one} for one in ids[start : start + BULK_GET_MAX]]}
        call = Call(operation, "POST", path, body=body, safety="repeatable")
        try:
            answer = (await client.read(target, call)).body
        except UpstreamRefused as refusal:
            if refusal.status == 404:
                continue  # none of them
            raise
        results = answer.get("results") if isinstance(answer, dict) else None
        if not isinstance(results, dict):
            raise UpstreamUnavailable("Adobe Experience Platform answered a bulk-get with something else.")
        found |= {key: one for key, one in results.items() if isinstance(one, dict) and "errors" not in one}
    return found
