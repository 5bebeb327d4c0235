"""AEP's error bodies: building the ones that its gateway and its segmentation service send, reading all six.

Shapes, as ``AEPError.shape`` names them:

    gateway         {error_code, message}                              before the service is reached
    service         {requestId, errors{status: [...]}, type, title, status}   segmentation and audiences
    problem         {type, title, status, report, error-chain}         other platform services
    legacy_problem  {type, status, title, detail}                      older services
    profile         {message, cause, statusCode}, or an array of it    profile access
    opaque          no body, HTML of an edge proxy, or JSON of no known shape

IMS has a seventh of its own, ``oauth``: {error, error_description}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

ERROR_TYPE_BASE: Final = "https://ns.adobe.com/aep/errors/"

Shape = Literal["gateway", "service", "problem", "legacy_problem", "profile", "oauth", "opaque"]


class ErrorCode(StrEnum):
    """The service's long codes. The number at their end is not always the HTTP status that carries them."""

    UNREADABLE_BODY = "UPLIB-101206-500"
    AUDIENCE_INVALID = "UPAPI-113434-400"
    DATASET_UNKNOWN = "UPLIB-101554-503"
    HAS_DEPENDENTS = "UPAPI-113631-403"
    AUDIENCE_NOT_FOUND = "UPAPI-113430-404"
    BULK_SIZE = "UPAPI-113015-400"
    BULK_NONE_FOUND = "UPAPI-113000-404"
    EXTERNAL_NOT_ENABLED = "UPAPI-113740-403"
    LABEL_DENIED = "UPAPI-113752-403"
    ACCESS_DECISION_FAILED = "UPAPI-113751-500"


def gateway_body(error_code: str, message: str) -> dict[str, Any]:
    """Return the body of AEP's API gateway, which answers before any service is reached."""
    return {"error_code": error_code, "message": message}


@dataclass(frozen=True, slots=True)
class GatewayFault:
    """One refusal of the API gateway. The first three digits of its code are the HTTP status."""

    error_code: str
    message: str

    @property
    def status(self) -> int:
        """HTTP status."""
        return int(self.error_code[:3])

    def body(self) -> dict[str, Any]:
        """JSON body."""
        return gateway_body(self.error_code, self.message)


# In the order in which the gateway looks. A missing token is a 403, not a 401.
TOKEN_MISSING: Final = GatewayFault("403010", "Oauth token is missing.")
TOKEN_INVALID: Final = GatewayFault("401013", "Oauth token is not valid")
API_KEY_MISSING: Final = GatewayFault("403000", "Api Key is required")
API_KEY_INVALID: Final = GatewayFault("403003", "Api Key is invalid")
ORG_MISSING: Final = GatewayFault("400003", "Missing header")
ORG_NOT_ENTITLED: Final = GatewayFault("403025", "Profile is not valid")
ORG_MALFORMED: Final = GatewayFault("403027", "User region is missing")
SANDBOX_MISSING: Final = GatewayFault("400003", "Missing header")
TOO_MANY_REQUESTS: Final = GatewayFault("429050", "Too many requests")


def content_type_body() -> dict[str, Any]:
    """Return the body of the 400 that a wrong or absent ``Content-Type`` gets on POST, PUT and PATCH."""
    return {
        "type": "/placeholder/type/uri",
        "status": 400,
        "title": "BadRequestError",
        "detail": "A valid content-type must be specified",
    }


def service_body(
    status: int,
    message: str | Sequence[str],
    *,
    code: str | None = None,
    request_id: str,
) -> dict[str, Any]:
    """Return the segmentation service's error body.

    ``message`` may hold several texts, each of which becomes an entry; the first is the title. ``code`` is the long
    code, shown in ``type``; entries carry the bare status as text, as in the service's own replies.
    """
    messages = [message] if isinstance(message, str) else list(message)
    return {
        "requestId": request_id,
        "errors": {str(status): [{"code": str(status), "message": text} for text in messages]},
        "type": f"{ERROR_TYPE_BASE}{code or status}",
        "title": messages[0],
        "status": status,
    }


def profile_rate_limit_body(retry_after_ms: int | None) -> list[dict[str, str]]:
    """Return profile access's body for too many reads: an array, and every value is a text."""
    wait = {} if retry_after_ms is None else {"retryAfterMs": str(retry_after_ms)}
    return [{"message": "Too many requests", "cause": "The limit of reads was reached", **wait, "statusCode": "429"}]


def item_error(status: int, message: str, *, request_id: str) -> dict[str, Any]:
    """Return what a bulk answer holds in the place of one object that could not be given."""
    return {"requestId": request_id, "errors": {str(status): [{"code": str(status), "message": message}]}}


def message_body(message: str) -> dict[str, Any]:
    """Return the body of a successful deletion that says something."""
    return {"status": True, "message": message}


def oauth_body(error: str, description: str) -> dict[str, Any]:
    """Return IMS's error body."""
    return {"error": error, "error_description": description}


@dataclass(frozen=True, slots=True)
class AEPError:
    """What an error answer of AEP says, whatever its shape.

    ``code`` is the most specific code found, ``messages`` all texts (``message`` is the first), ``retry_after_ms``
    the pause that the *body* asks for; the ``Retry-After`` header is the caller's to read.
    """

    status: int
    code: str
    message: str
    request_id: str | None
    shape: Shape
    retry_after_ms: int | None = None
    messages: tuple[str, ...] = ()
    type: str | None = None


def read_error(status: int, body: bytes) -> AEPError:
    """Read an error answer in any of the shapes. Never fails: what cannot be understood is ``opaque``."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return _opaque(status)
    if isinstance(document, list):
        return _read_list(status, document)
    return _read_object(status, document) if isinstance(document, dict) else _opaque(status)


def _read_list(status: int, documents: list[Any]) -> AEPError:
    first = documents[0] if documents else None
    return _read_object(status, first) if isinstance(first, dict) else _opaque(status)


def _read_object(status: int, document: dict[str, Any]) -> AEPError:
    if "error_code" in document:
        code = str(document["error_code"])
        return _make(status, code, [document.get("message")], "gateway", document)
    if isinstance(document.get("errors"), Mapping):
        return _read_service(status, document)
    if "statusCode" in document or ("message" in document and "title" not in document):
        return _read_profile(status, document)
    if "error" in document and "error_description" in document:
        return _make(status, str(document["error"]), [document["error_description"]], "oauth", document)
    if "title" in document:
        return _read_problem(status, document)
    return _opaque(status)


def _read_service(status: int, document: dict[str, Any]) -> AEPError:
    entries = [
        entry
        for listed in document["errors"].values()
        if isinstance(listed, list)
        for entry in listed
        if isinstance(entry, dict)
    ]
    nested = _nested_problem(status, entries)
    codes = [_code_of_type(document.get("type")), *(entry.get("code") for entry in entries)]
    code = next((str(code) for code in codes if code is not None and "-" in str(code)), None)
    code = code or next((str(code) for code in codes if code is not None), str(status))
    if nested is not None:
        return AEPError(
            status, nested.code, nested.message, _request_id(document), "service", None, nested.messages, nested.type
        )
    return _make(
        status, code, [*(entry.get("message") for entry in entries), document.get("title")], "service", document
    )


def _nested_problem(status: int, entries: list[dict[str, Any]]) -> AEPError | None:
    """Find a platform problem document that the service passed on as text inside a message."""
    for entry in entries:
        text = str(entry.get("message", ""))
        start, end = text.find("{"), text.rfind("}")
        if start < 0 or end < start:
            continue
        try:
            inner = json.loads(text[start : end + 1])
        except (ValueError, RecursionError):
            continue
        if isinstance(inner, dict) and "title" in inner and "type" in inner:
            return _read_problem(status, inner)
    return None


def _read_problem(status: int, document: dict[str, Any]) -> AEPError:
    chain = document.get("error-chain")
    links = [link for link in chain if isinstance(link, dict)] if isinstance(chain, list) else []
    shape: Shape = "problem" if "report" in document or "error-chain" in document else "legacy_problem"
    codes = [_code_of_type(document.get("type")), *(link.get("errorCode") for link in links)]
    code = next((str(code) for code in codes if code), str(status))
    return _make(status, code, [document.get("detail"), document.get("title")], shape, document)


def _read_profile(status: int, document: dict[str, Any]) -> AEPError:
    message = str(document.get("message") or "")
    prefix, colon, _ = message.partition(":")
    code = prefix if colon and prefix.startswith("UPS-") else str(document.get("statusCode", status))
    return _make(status, code, [message, document.get("cause")], "profile", document)


def _make(status: int, code: str, texts: Sequence[Any], shape: Shape, document: Mapping[str, Any]) -> AEPError:
    messages = tuple(dict.fromkeys(str(text) for text in texts if text))
    given_type = document.get("type")
    return AEPError(
        status=status,
        code=code,
        message=messages[0] if messages else f"AEP answered {status} without a message",
        request_id=_request_id(document),
        shape=shape,
        retry_after_ms=_milliseconds(document.get("retryAfterMs")),
        messages=messages,
        type=given_type if isinstance(given_type, str) else None,
    )


def _opaque(status: int) -> AEPError:
    return AEPError(status, str(status), f"AEP answered {status} without a readable body", None, "opaque")


def _code_of_type(value: Any) -> str | None:
    """Return the code at the end of a problem type, if it is one of AEP's."""
    if not isinstance(value, str) or "/aep/errors/" not in value:
        return None
    return value.rpartition("/")[2] or None


def _request_id(document: Mapping[str, Any]) -> str | None:
    found = document.get("requestId") or document.get("request_id")
    return str(found) if found else None


def _milliseconds(value: Any) -> int | None:
    try:
        return max(0, int(float(value)))
    except (TypeError, ValueError, OverflowError):
        return None
