"""Errors as REST bodies: AEP's own shapes on the facade, RFC 9457 everywhere else.

AEP has two shapes that matter here. What its API gateway finds wrong (token, key, organization) is ``{error_code,
message}``; what the service finds wrong is the service's body. Which of ours is which stands in one table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from app.aep import errors as aep_errors
from app.aep import headers as aep_headers
from app.auth.bearer import MissingToken
from app.auth.limits import TooManyRequests
from app.auth.middleware import WrongAPIKey
from app.errors import (
    Conflict,
    Forbidden,
    GatewayError,
    InvalidRequest,
    KeyReused,
    MethodNotAllowed,
    NotFound,
    NotImplementedYet,
    PayloadTooLarge,
    PQLError,
    PublicError,
    QuotaExceeded,
    Unauthenticated,
    UnsupportedMediaType,
    UpstreamRefused,
    UpstreamUnavailable,
    upstream_request_id_of,
)
from app.services.versions import VersionConflict
from app.tenancy.resolve import WrongTenant

PROBLEM_TYPE = "application/problem+json"

_STATUS: dict[type[GatewayError], int] = {
    InvalidRequest: 400,
    PQLError: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    MethodNotAllowed: 405,
    Conflict: 409,
    VersionConflict: 412,
    KeyReused: 422,
    PayloadTooLarge: 413,
    UnsupportedMediaType: 415,
    QuotaExceeded: 429,
    NotImplementedYet: 501,
    UpstreamUnavailable: 503,
}

UPSTREAM_REQUEST_ID = "x-gateway-upstream-request-id"

# What AEP's API gateway would have said, most special class first.
_GATEWAY_FAULTS: tuple[tuple[type[GatewayError], aep_errors.GatewayFault], ...] = (
    (MissingToken, aep_errors.TOKEN_MISSING),
    (Unauthenticated, aep_errors.TOKEN_INVALID),
    (WrongAPIKey, aep_errors.API_KEY_INVALID),
    (WrongTenant, aep_errors.ORG_NOT_ENTITLED),
    (TooManyRequests, aep_errors.TOO_MANY_REQUESTS),
)


def status_of(problem: GatewayError) -> int:
    """Return the HTTP status of an error; AEP's refusals keep AEP's."""
    if isinstance(problem, UpstreamRefused):
        return problem.status
    return next((status for kind, status in _STATUS.items() if isinstance(problem, kind)), 500)


def facade_error(request: Request, problem: GatewayError) -> Response:
    """Answer as AEP would."""
    for kind, fault in _GATEWAY_FAULTS:
        if isinstance(problem, kind):
            return _json(fault.body(), fault.status, _headers(problem))
    if isinstance(problem, UnsupportedMediaType):
        return _json(aep_errors.content_type_body(), 400)
    refusal = _refusal_behind(problem)
    status = status_of(refusal or problem)
    code = refusal.upstream_code if refusal else None
    sentences = refusal.messages if refusal else _sentences(problem)
    body = aep_errors.service_body(status, sentences, code=code, request_id=request.state.request_id)
    return _json(body | _conflict(problem), status, _headers(problem))


def _refusal_behind(problem: GatewayError) -> UpstreamRefused | None:
    """Return the refusal of AEP that an error stands for: clients of AEP know its words, not ours."""
    cause = problem if isinstance(problem, UpstreamRefused) else problem.__cause__
    return cause if isinstance(cause, UpstreamRefused) else None


def problem_error(request: Request, problem: GatewayError) -> Response:
    """Answer with an RFC 9457 problem document."""
    status = status_of(problem)
    body: dict[str, Any] = {
        "type": f"urn:segment-gateway:error:{problem.code.lower().replace('_', '-')}",
        "title": problem.title,
        "status": status,
        "detail": problem.detail if isinstance(problem, PublicError) else "Something went wrong on our side.",
        "code": problem.code,
        "requestId": getattr(request.state, "request_id", None),
    }
    if upstream_request_id := upstream_request_id_of(problem):
        body["upstreamRequestId"] = upstream_request_id
    if isinstance(problem, PublicError) and problem.hint:
        body["hint"] = problem.hint
    if isinstance(problem, PQLError):
        body["diagnostics"] = list(problem.diagnostics)
    return _json(body | _conflict(problem), status, _headers(problem), media_type=PROBLEM_TYPE)


def _conflict(problem: GatewayError) -> dict[str, Any]:
    """Return what a lost update shows besides its words: both versions, and how they differ."""
    if not isinstance(problem, VersionConflict):
        return {}
    found = problem.difference
    return {
        "conflict": {
            "expectedVersion": found.expected_version,
            "expected": found.expected,
            "currentVersion": found.current_version,
            "current": found.current,
            "currentETag": found.current_etag,
            "changes": list(found.changes),
        }
    }


def _sentences(problem: GatewayError) -> list[str]:
    """Return the texts of an error for AEP's body, which has no place for hints and positions of its own."""
    if not isinstance(problem, PublicError):
        return ["Something went wrong on our side. The log has the request id."]
    if isinstance(problem, PQLError):
        return [f"{one.where}: {one.message}" + (f" {one.hint}" if one.hint else "") for one in problem.diagnostics]
    return [f"{problem.detail} {problem.hint}" if problem.hint else problem.detail]


def _headers(problem: GatewayError) -> Mapping[str, str]:
    if isinstance(problem, VersionConflict):
        return {"etag": problem.difference.current_etag}
    retry_after_s = getattr(problem, "retry_after_s", None)
    found = {aep_headers.RETRY_AFTER: str(max(1, round(retry_after_s)))} if retry_after_s else {}
    upstream_request_id = upstream_request_id_of(problem)
    return found | ({UPSTREAM_REQUEST_ID: upstream_request_id} if upstream_request_id else {})


def _json(
    body: dict[str, Any],
    status: int,
    headers: Mapping[str, str] | None = None,
    *,
    media_type: str = "application/json",
) -> Response:
    return Response(msgspec.json.encode(body), status, headers, media_type=media_type)
