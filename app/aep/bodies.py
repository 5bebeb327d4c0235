"""Reading JSON bodies, for every entrance that takes them."""

from __future__ import annotations

from typing import Any

import msgspec

from app.errors import InvalidRequest


def read_json(body: bytes) -> Any:
    """Return a body as plain values. Raises InvalidRequest for what is not JSON or is nested beyond reason."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise InvalidRequest(f"The body is not valid JSON: {fault}.") from fault
