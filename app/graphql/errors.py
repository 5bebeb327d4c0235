"""Errors in GraphQL.

What a mutation's caller can mend (a wrong rule, a name that is taken, a missing permission) is data: ``userErrors`` of
the payload. Everything else is an entry of ``errors`` with ``extensions.code`` and ``requestId``. An error that was
not foreseen is logged whole and shown as ``INTERNAL_ERROR``.
"""

from __future__ import annotations

from typing import Any

import msgspec
import structlog
from graphql import GraphQLError
from starlette.requests import Request
from starlette.responses import Response

from app.errors import (
    Forbidden,
    GatewayError,
    InternalError,
    MethodNotAllowed,
    PayloadTooLarge,
    PQLError,
    PublicError,
    QuotaExceeded,
    Unauthenticated,
    UnsupportedMediaType,
    UpstreamUnavailable,
    upstream_request_id_of,
)
from app.graphql.media_types import media_type_of

log = structlog.get_logger(__name__)

_STATUS: dict[type[GatewayError], int] = {
    Unauthenticated: 401,
    Forbidden: 403,
    MethodNotAllowed: 405,
    PayloadTooLarge: 413,
    UnsupportedMediaType: 415,
    QuotaExceeded: 429,
    UpstreamUnavailable: 503,
    InternalError: 500,
}


def error_response(request: Request, problem: GatewayError) -> Response:
    """Answer a request that never reached execution."""
    status = next((status for kind, status in _STATUS.items() if isinstance(problem, kind)), 400)
    error = {"message": _message(problem), "extensions": _extensions(problem, request.state.request_id)}
    response = Response(msgspec.json.encode({"errors": [error]}), status, media_type=media_type_of(request))
    retry_after_s = getattr(problem, "retry_after_s", None)
    if retry_after_s:
        response.headers["retry-after"] = str(max(1, round(retry_after_s)))
    return response


def format_error(error: GraphQLError, request_id: str) -> dict[str, Any]:
    """Return an error of GraphQL itself, or of a resolver, as it is shown."""
    formatted = dict(error.formatted)
    original = _cause(error)
    if original is None:
        formatted["extensions"] = {"code": "GRAPHQL_VALIDATION_FAILED", "requestId": request_id} | dict(
            error.extensions or {}
        )
        return formatted
    problem = original if isinstance(original, GatewayError) else InternalError(str(original))
    if not isinstance(problem, PublicError):
        log.error("graphql.resolver_crashed", path=error.path, exc_info=original)
    formatted["message"] = _message(problem)
    formatted["extensions"] = _extensions(problem, request_id)
    return formatted


def _cause(error: GraphQLError) -> Exception | None:
    """Return what a resolver raised; ``None`` for GraphQL's own errors, which may wrap one another."""
    original = error.original_error
    while isinstance(original, GraphQLError):
        original = original.original_error
    return original


def _message(problem: GatewayError) -> str:
    return problem.detail if isinstance(problem, PublicError) else "Something went wrong on our side."


def _extensions(problem: GatewayError, request_id: str) -> dict[str, Any]:
    found: dict[str, Any] = {"code": problem.code if isinstance(problem, PublicError) else InternalError.code}
    found["type"] = f"urn:segment-gateway:error:{found['code'].lower().replace('_', '-')}"
    found["requestId"] = request_id
    if upstream_request_id := upstream_request_id_of(problem):
        found["upstreamRequestId"] = upstream_request_id
    if isinstance(problem, PublicError) and problem.hint:
        found["hint"] = problem.hint
    if isinstance(problem, PQLError):
        found["diagnostics"] = [msgspec.to_builtins(one) for one in problem.diagnostics]
    return found
