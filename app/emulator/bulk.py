"""Bulk reads: 1 to 100 ids in, an object keyed by id out, with an error object in the place of each missing one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import Response

from app.aep import errors as aep_errors
from app.aep import models
from app.aep.errors import ErrorCode
from app.emulator.answers import Refusal, json_answer
from app.emulator.gate import Call
from app.errors import InvalidRequest

Find = Callable[[list[str]], Awaitable[dict[str, Any]]]


async def bulk_answer(call: Call, find: Find) -> Response:
    """Answer 207 with what ``find`` returns for the ids of the body; 404 when it finds none of them."""
    body = await call.json()
    try:
        ids = models.bulk_ids(body)
    except InvalidRequest as fault:
        raise Refusal(400, f"{fault.detail}.", code=ErrorCode.BULK_SIZE) from fault
    found = await find(ids)
    if not found:
        raise Refusal(404, f"None of the ids was found: {', '.join(ids)}.", code=ErrorCode.BULK_NONE_FOUND)
    missing = aep_errors.item_error(404, "Not found.", request_id=call.request_id)
    return json_answer(models.bulk_body(ids, found, missing), 207)
