"""The one error hierarchy; imports nothing of ours.

    GatewayError
    ├── PublicError            the caller may see code, title, detail and hint
    │   ├── InvalidRequest     the request cannot be read or breaks a rule of its own shape
    │   ├── PQLError           a rule does not parse or does not check; carries diagnostics
    │   ├── Unauthenticated    no credential, or one that is wrong or expired
    │   ├── Forbidden          the actor is known and lacks a permission
    │   ├── NotFound           no such object *for this tenant and sandbox*
    │   ├── Conflict           the object is not in the state that the request assumes
    │   │   └── RequestInFlight the first request of an idempotency key has no outcome yet
    │   ├── KeyReused          an idempotency key that stands for another request
    │   ├── PayloadTooLarge    the body is over the limit
    │   ├── UnsupportedMediaType the body is of another type than the call takes
    │   ├── MethodNotAllowed   the path exists, and does not take this method
    │   ├── QuotaExceeded      too many requests
    │   ├── NotImplementedYet  part of the vendor's API or language that we do not serve
    │   ├── UpstreamRefused    AEP answered with an error of its own
    │   └── UpstreamUnavailable AEP did not answer, or answered that it cannot
    └── InternalError          logged whole, shown as a code and a request id

Classes own a stable ``code``. Status codes belong to the entry points, which map classes to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar


class GatewayError(Exception):
    """Root of everything that this package raises on purpose.

    ``detail`` says what happened, ``hint`` what to do next. ``retryable`` tells whether the same call may succeed
    later without change.
    """

    code: ClassVar[str] = "INTERNAL_ERROR"
    title: ClassVar[str] = "Internal error"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, *, hint: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint


class InternalError(GatewayError):
    """A fault of ours: the log has the whole story, the caller only gets the code and the request id."""


class PublicError(GatewayError):
    """An error whose text was written for the caller."""


class InvalidRequest(PublicError):
    """The request is malformed. ``path`` names the member at fault, outermost first."""

    code = "INVALID_REQUEST"
    title = "Invalid request"

    def __init__(self, detail: str, *, hint: str | None = None, path: Sequence[str] = ()) -> None:
        super().__init__(detail, hint=hint)
        self.path = tuple(path)


class PayloadTooLarge(PublicError):
    """The body is larger than the limit that the detail names."""

    code = "PAYLOAD_TOO_LARGE"
    title = "Payload too large"


class UnsupportedMediaType(PublicError):
    """The body is announced as something that the call does not take."""

    code = "UNSUPPORTED_MEDIA_TYPE"
    title = "Unsupported media type"


class MethodNotAllowed(PublicError):
    """The path exists and does not take this method."""

    code = "METHOD_NOT_ALLOWED"
    title = "Method not allowed"


class PQLError(PublicError):
    """A rule that cannot be accepted.

    ``diagnostics`` holds one ``app.pql.diagnostics.Diagnostic`` or more, the decisive one first. They are typed
    loosely here because this module imports nothing.
    """

    code = "INVALID_PQL"
    title = "Invalid PQL"

    def __init__(self, detail: str, diagnostics: Sequence[Any], *, hint: str | None = None) -> None:
        super().__init__(detail, hint=hint)
        self.diagnostics = tuple(diagnostics)


class Unauthenticated(PublicError):
    """The caller did not prove who he is. The detail never tells which part of a credential was wrong."""

    code = "UNAUTHENTICATED"
    title = "Not authenticated"


class Forbidden(PublicError):
    """The actor lacks ``permission`` (Adobe's name for it) in this tenant and sandbox."""

    code = "FORBIDDEN"
    title = "Forbidden"

    def __init__(self, detail: str, *, hint: str | None = None, permission: str | None = None) -> None:
        super().__init__(detail, hint=hint)
        self.permission = permission


class NotFound(PublicError):
    """The object does not exist for this tenant and sandbox; another tenant's object is the same as none."""

    code = "NOT_FOUND"
    title = "Not found"


class Conflict(PublicError):
    """The request contradicts the present state: a name that is taken, a version that moved on."""

    code = "CONFLICT"
    title = "Conflict"


class RequestInFlight(Conflict):
    """The first request with this idempotency key has no outcome yet; ``retry_after_s`` tells when to ask again."""

    code = "REQUEST_IN_FLIGHT"
    title = "Request in flight"
    retryable = True

    def __init__(self, detail: str, *, hint: str | None = None, retry_after_s: float) -> None:
        super().__init__(detail, hint=hint)
        self.retry_after_s = retry_after_s


class ObjectBusy(RequestInFlight):
    """Somebody else is changing the same object at this moment."""

    code = "OBJECT_BUSY"
    title = "Object busy"


class KeyReused(PublicError):
    """An idempotency key came with another body than the first time; ``path`` names the member that holds it."""

    code = "IDEMPOTENCY_KEY_REUSED"
    title = "Idempotency key used for another request"

    def __init__(self, detail: str, *, hint: str | None = None, path: Sequence[str] = ()) -> None:
        super().__init__(detail, hint=hint)
        self.path = tuple(path)


class QuotaExceeded(PublicError):
    """Too many requests; ``retry_after_s`` tells when to come back."""

    code = "QUOTA_EXCEEDED"
    title = "Too many requests"
    retryable = True

    def __init__(self, detail: str, *, hint: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(detail, hint=hint)
        self.retry_after_s = retry_after_s


class NotImplementedYet(PublicError):
    """A known part of the vendor's contract that this release does not serve."""

    code = "NOT_IMPLEMENTED"
    title = "Not implemented"


class UpstreamRefused(PublicError):
    """AEP answered, and the answer is an error of the caller's making or of AEP's rules.

    ``status``, ``upstream_code`` and ``upstream_request_id`` are AEP's own, for support tickets. ``messages`` are all
    that AEP said; ``detail`` is the first of them.
    """

    code = "UPSTREAM_REFUSED"
    title = "Refused by Adobe Experience Platform"

    def __init__(
        self,
        detail: str,
        *,
        status: int,
        upstream_code: str | None = None,
        upstream_request_id: str | None = None,
        hint: str | None = None,
        messages: tuple[str, ...] = (),
    ) -> None:
        super().__init__(detail, hint=hint)
        self.status = status
        self.messages = messages or (detail,)
        self.upstream_code = upstream_code
        self.upstream_request_id = upstream_request_id


class UpstreamUnavailable(PublicError):
    """AEP cannot be reached, timed out, or said that it is unable to serve now.

    ``outcome_unknown`` is true when a write may have been carried out although no answer came. ``upstream_request_id``
    is AEP's own id of the call, when it answered at all.
    """

    code = "UPSTREAM_UNAVAILABLE"
    title = "Adobe Experience Platform is unavailable"
    retryable = True

    def __init__(
        self,
        detail: str,
        *,
        hint: str | None = None,
        retry_after_s: float | None = None,
        outcome_unknown: bool = False,
        upstream_request_id: str | None = None,
    ) -> None:
        super().__init__(detail, hint=hint)
        self.retry_after_s = retry_after_s
        self.outcome_unknown = outcome_unknown
        self.upstream_request_id = upstream_request_id


class UpstreamThrottled(UpstreamUnavailable):
    """AEP answered 429 and did nothing."""


class UpstreamPaused(UpstreamUnavailable):
    """Nothing was sent: AEP failed too often just now, or wants no calls before a time."""


def upstream_request_id_of(problem: BaseException | None) -> str | None:
    """Return AEP's own id of the call that an error comes from, for support tickets; ``None`` where AEP did not answer.

    An error that stands for one of AEP's has it as its cause.
    """
    while problem is not None:
        if isinstance(problem, UpstreamRefused | UpstreamUnavailable):
            return problem.upstream_request_id
        problem = problem.__cause__
    return None
