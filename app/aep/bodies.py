"""Reading JSON bodies, for every entrance that takes them."""

from __future__ import annotations

from typing import Any

import msgspec

from app.errors import InvalidRequest


def read_json(body: bytes) -> Any:
    """Return a body as plain values.

    Raises InvalidRequest for what is not JSON, is nested beyond reason, or holds U+0000, which no text column keeps.
    """
    if b"\\u0000" in body:
        raise InvalidRequest("The body holds the character U+0000.", hint="Send the text without it.")
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise InvalidRequest(f"The body is not valid JSON: {fault}.") from fault
