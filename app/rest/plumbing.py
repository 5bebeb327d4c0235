"""What every REST handler stands on: the request's context, JSON in, JSON out, errors in the entrance's shape."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.aep import bodies
from app.aep import headers as aep_headers
from app.context import RequestContext
from app.errors import GatewayError, InvalidRequest, UnsupportedMediaType
from app.rest.dry_runs import dry_run_body
from app.services.door import DryRunEnded, Written
from app.services.dry_run import DryRun
from app.services.freshness import AGE, STALE, SYNCED_AT, Freshness
from app.services.permissions import is_listed, not_listed
from app.services.versions import etag_of
from app.upstream.client import Reply

MAX_AGE = "maxAgeSeconds"
DRY_RUN = "dryRun"
IDEMPOTENCY_KEY = "idempotency-key"
IF_MATCH = "if-match"
IF_NONE_MATCH = "if-none-match"
ETAG = "etag"
REPLAYED = "idempotent-replayed"

Handler = Callable[[Request, RequestContext], Awaitable[Response]]
RenderError = Callable[[Request, GatewayError], Response]
CompleteDryRun = Callable[[RequestContext, DryRunEnded], Awaitable[DryRun]]


class Routes:
    """Collects routes whose handlers get the request's context and may raise errors of `app.errors`."""

    def __init__(self, render_error: RenderError, complete: CompleteDryRun) -> None:
        self._render_error = render_error
        self._complete = complete
        self.routes: list[Route] = []

    def add(self, method: str, path: str, handler: Handler) -> None:
        """Serve ``method`` on ``path`` with ``handler``; refuse it without an entry in the table of permissions."""
        call = f"{method} {path}"
        listed = is_listed(call)

        async def endpoint(request: Request) -> Response:
            try:
                if not listed:
                    raise not_listed(call)
                ctx = _with_terms(request, request.state.context)
                try:
                    return await handler(request, ctx)
                except DryRunEnded as ended:
                    return json_answer(dry_run_body(await self._complete(ctx, ended)))
            except GatewayError as problem:
                return self._render_error(request, problem)

        self.routes.append(Route(path, endpoint, methods=[method]))


def _with_terms(request: Request, ctx: RequestContext) -> RequestContext:
    """Return the context with what the request says about how a change is to be made, or how old an answer may be.

    Raises `InvalidRequest`.
    """
    if request.method == "GET":
        return replace(ctx, max_age_s=_max_age_s(request))
    headers = request.headers
    dry_run = request.query_params.get(DRY_RUN, "false").lower()
    if dry_run not in {"true", "false"}:
        # A typing slip must not turn a trial into a change.
        raise InvalidRequest(f"{DRY_RUN} must be true or false.", path=(DRY_RUN,))
    return replace(
        ctx,
        idempotency_key=headers.get(IDEMPOTENCY_KEY),
        if_match=headers.get(IF_MATCH),
        dry_run=dry_run == "true",
    )


def _max_age_s(request: Request) -> float | None:
    """Return how old a cached answer may be: ``maxAgeSeconds``, or else what ``Cache-Control`` says (RFC 9111, 5.2.1).

    Raises `InvalidRequest` for a number that is none; a header that cannot be read is passed over.
    """
    given = read_number(request.query_params.get(MAX_AGE), MAX_AGE)
    if given is not None:
        return given
    directives = {
        name.strip().lower(): value.strip().strip('"')
        for name, _, value in (one.partition("=") for one in request.headers.get("cache-control", "").split(","))
    }
    if "no-cache" in directives:
        return 0
    seconds = directives.get("max-age", "")
    return int(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) < 10 else None


def with_freshness(response: Response, found: Freshness) -> Response:
    """Say in headers how old a cached answer is."""
    response.headers.update(found.headers)
    return response


def json_answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return ``body`` as JSON."""
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")


def document_answer(request: Request, document: Mapping[str, Any]) -> Response:
    """Return a document with its entity tag; 304 when the caller has it already (RFC 9110, 13.1.2)."""
    etag = etag_of(document)
    known = {one.strip().removeprefix("W/") for one in request.headers.get(IF_NONE_MATCH, "").split(",")}
    if etag in known or "*" in known:
        return Response(status_code=304, headers={ETAG: etag})
    return json_answer(document, headers={ETAG: etag})


_RELAYED_HEADERS = (aep_headers.LOCATION, "location")
_KEPT_HEADERS = (AGE, SYNCED_AT, STALE)


def relay_answer(reply: Reply) -> Response:
    """Return AEP's answer as it came: status, body, and the headers that belong to its meaning."""
    headers = {name: reply.headers[name] for name in _RELAYED_HEADERS if name in reply.headers}
    if STALE in reply.headers:
        # Not AEP's answer but ours, from the cache; AEP's own age would be of no meaning here.
        headers |= {name: reply.headers[name] for name in _KEPT_HEADERS if name in reply.headers}
    if reply.body is None:
        return Response(status_code=reply.status, headers=headers)
    return json_answer(reply.body, reply.status, headers)


def written_answer(written: Written[Reply], *, tagged: bool = False) -> Response:
    """Return AEP's answer to a change as it came, with what `headers_of` adds."""
    response = relay_answer(written.value)
    response.headers.update(headers_of(written, tagged=tagged))
    return response


def headers_of(written: Written[Any], *, tagged: bool = False) -> dict[str, str]:
    """Return the headers that tell about a change besides AEP's own.

    ``tagged`` adds the entity tag of the body, for a body that is the changed object itself.
    """
    found = {ETAG: etag_of(written.body)} if tagged and isinstance(written.body, Mapping) else {}
    return found | ({REPLAYED: "true"} if written.replayed else {})


async def read_json(request: Request, *, any_type: bool = False) -> Any:
    """Return the request's body as JSON. Raises `InvalidRequest` or `UnsupportedMediaType`.

    ``any_type`` is for the calls to which a public client sends JSON as plain text.
    """
    if not any_type and not aep_headers.is_json(request.headers.get("content-type")):
        raise UnsupportedMediaType("A valid content-type must be specified.", hint="Send application/json.")
    return bodies.read_json(await request.body())


async def read_object(request: Request, *, any_type: bool = False) -> dict[str, Any]:
    """Return the request's body as a JSON object. Raises `InvalidRequest` or `UnsupportedMediaType`."""
    body = await read_json(request, any_type=any_type)
    if not isinstance(body, dict):
        raise InvalidRequest(f"The body must be a JSON object, not a {type(body).__name__}.")
    return body


def query_of(request: Request) -> tuple[tuple[str, str], ...]:
    """Return the query string's parameters in order, for calls that are passed through; ours are left out."""
    return tuple(one for one in request.query_params.multi_items() if one[0] != MAX_AGE)


def read_instant(text: str | None, name: str) -> datetime | None:
    """Return the instant that the parameter ``name`` gives. Raises `InvalidRequest` for one without an offset."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidRequest(f"{name} must be an instant with an offset, such as 2026-01-31T08:00:00Z.", path=(name,))
    return moment


def read_number(text: str | None, name: str) -> int | None:
    """Return the whole number that the parameter ``name`` gives. Raises `InvalidRequest`."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidRequest(f"{name} must be a whole number.", path=(name,))
    return int(text)
