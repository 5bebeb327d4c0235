"""Bodies out and bodies in: JSON answers, AEP's error answers, and reading JSON requests.

An exception of ``app.errors`` becomes the answer that AEP would give; one place decides which status that is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from app.aep import bodies, headers, models
from app.aep import errors as aep_errors
from app.errors import (
    Conflict,
    Forbidden,
    GatewayError,
    InvalidRequest,
    NotFound,
    NotImplementedYet,
    PayloadTooLarge,
    PQLError,
    QuotaExceeded,
)

log = structlog.get_logger(__name__)

_STATUS: dict[type[GatewayError], int] = {
    InvalidRequest: 400,
    PQLError: 400,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 422,
    PayloadTooLarge: 413,
    QuotaExceeded: 429,
    NotImplementedYet: 501,
}


class Refusal(Exception):
    """An answer of AEP's service that ends a call: ``status`` with one message or more and perhaps a long code."""

    def __init__(self, status: int, message: str | list[str], *, code: str | None = None) -> None:
        super().__init__(message if isinstance(message, str) else " ".join(message))
        self.status = status
        self.message = message
        self.code = code


def json_answer(body: Any, status: int = 200, extra: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer."""
    return Response(msgspec.json.encode(body), status, extra, media_type="application/json")


def empty_answer() -> Response:
    """Return 204 without a body."""
    return Response(status_code=204)


def error_answer(exc: Exception, request_id: str) -> Response:
    """Return the answer for anything that a call raised. What nobody meant to raise is logged and shown as a 500."""
    if isinstance(exc, Refusal):
        return _service_answer(exc.status, exc.message, request_id, code=exc.code)
    if isinstance(exc, ValidationError):
        pairs = models.validation_messages(exc)
        return _service_answer(400, [text for _, text in pairs], request_id, code=pairs[0][0])
    status = next((status for kind, status in _STATUS.items() if isinstance(exc, kind)), None)
    if status is None or not isinstance(exc, GatewayError):
        log.error("emulator.call_failed", request_id=request_id, exc_info=exc)
        return _service_answer(500, "The service met an internal error. Its log has the request id.", request_id)
    answer = _service_answer(status, _sentence(exc), request_id)
    if isinstance(exc, QuotaExceeded) and exc.retry_after_s is not None:
        answer.headers[headers.RETRY_AFTER] = str(math.ceil(exc.retry_after_s))
    return answer


async def read_json(request: Request) -> Any:
    """Read the body as JSON. Raises InvalidRequest."""
    return bodies.read_json(await request.body())


def _service_answer(status: int, message: str | list[str], request_id: str, *, code: str | None = None) -> Response:
    body = aep_errors.service_body(status, message, code=code, request_id=request_id)
    return json_answer(body, status, {headers.REQUEST_ID: request_id})


def _sentence(exc: GatewayError) -> str:
    detail = exc.detail if exc.detail.endswith((".", "!", "?")) else f"{exc.detail}."
    return f"{detail} {exc.hint}" if exc.hint else detail
