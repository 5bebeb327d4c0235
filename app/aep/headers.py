"""The request headers that AEP reads, and what their values may look like.

Header names are case-insensitive, and so is the scheme of ``Authorization``: one public client writes ``bearer``.
"""

from __future__ import annotations

import re
import secrets
import string
from typing import Final

AUTHORIZATION: Final = "authorization"
API_KEY: Final = "x-api-key"
IMS_ORG: Final = "x-gw-ims-org-id"
SANDBOX: Final = "x-sandbox-name"
REQUEST_ID: Final = "x-request-id"
LOCATION: Final = "x-location"
PROFILE_INSTANCE: Final = "x-profile-instance-id"
SEARCH_VERSION: Final = "x-ups-search-version"
RETRY_AFTER: Final = "retry-after"

_ALPHANUMERIC = string.ascii_letters + string.digits
_ORG_ID = re.compile(r"[A-Za-z0-9]{1,64}@AdobeOrg")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


def new_request_id() -> str:
    """Return 32 alphanumeric characters, the form of AEP's own request ids."""
    return "".join(secrets.choice(_ALPHANUMERIC) for _ in range(32))


def request_id_or_new(given: str | None) -> str:
    """Return the caller's trace id, or a new one when it is absent or could break a log line or a header."""
    return given if given is not None and _REQUEST_ID.fullmatch(given) else new_request_id()


def bearer_token(authorization: str | None) -> str | None:
    """Return the token of an ``Authorization`` value, or None when there is none or the scheme is another one."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def is_org_id(value: str) -> bool:
    """Tell whether a text has the form of an IMS organization id, such as ``5C1D7E2A6A0F4B990A495C3E@AdobeOrg``."""
    return _ORG_ID.fullmatch(value) is not None


def is_json(content_type: str | None) -> bool:
    """Tell whether a ``Content-Type`` announces JSON (``application/json`` or ``application/*+json``)."""
    media = (content_type or "").partition(";")[0].strip().lower()
    return media == "application/json" or (media.startswith("application/") and media.endswith("+json"))
