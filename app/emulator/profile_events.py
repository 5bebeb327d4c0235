"""Experience events of one profile, as ``/access/entities`` lists them: oldest first unless asked otherwise, in pages.

A page begins with the event that ``start`` names; ``_page.next`` names the first event of the following page and is
empty on the last one, as is ``_links.next.href``. Source: Adobe's entities reference (read December 2025); AEP calls
this read deprecated since. Assumed: a ``start`` that names no event is a 400, and ``property`` compares numbers as
numbers and everything else as text.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from app.aep import models, paging
from app.aep.times import epoch_ms
from app.emulator.export_files import selected
from app.errors import InvalidRequest

EVENT_CLASS: Final = "_xdm.context.experienceevent"
_MAX_LIMIT: Final = 1_000
_MAX_PROPERTIES: Final = 3
_PROPERTY: Final = re.compile(r"([\w.:@-]+?)(!=|<=|>=|=|<|>)(.*)", re.DOTALL)
_OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Document = dict[str, Any]
Property = tuple[Sequence[str], str, str]


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which events are asked for: those of one profile, or one event of it by its id.

    ``begin_ms`` is included and ``end_ms`` is not, both in milliseconds since 1970.
    """

    profile: str
    namespace: str
    event: str | None
    begin_ms: int | None
    end_ms: int | None
    newest_first: bool
    limit: int
    start: str | None
    fields: tuple[str, ...]
    properties: tuple[Property, ...]


def read_query(query: paging.Query, properties: Sequence[str]) -> EventQuery:
    """Read the parameters of the call; ``properties`` are its repeated ``property``. Raises InvalidRequest."""
    if query.get("relatedSchema.name") != models.PROFILE_CLASS:
        raise InvalidRequest(
            f"relatedSchema.name must be {models.PROFILE_CLASS} when events are asked for", path=("relatedSchema.name",)
        )
    profile = query.get("relatedEntityId", "")
    if not profile:
        raise InvalidRequest("The parameter relatedEntityId is missing", path=("relatedEntityId",))
    # A plus sign that was not escaped arrives as a blank.
    order = query.get("orderby", "").strip().lstrip("+")
    if order not in {"", "timestamp", "-timestamp"}:
        raise InvalidRequest("orderby must be +timestamp or -timestamp", path=("orderby",))
    if len(properties) > _MAX_PROPERTIES:
        raise InvalidRequest(f"At most {_MAX_PROPERTIES} properties can be compared", path=("property",))
    limit = paging.whole_number(query, "limit", default=_MAX_LIMIT, minimum=1) or _MAX_LIMIT
    return EventQuery(
        profile=profile,
        namespace=query.get("relatedEntityIdNS", ""),
        event=query.get("entityId") or None,
        begin_ms=_milliseconds(query, "startTime"),
        end_ms=_milliseconds(query, "endTime"),
        newest_first=order.startswith("-"),
        limit=min(limit, _MAX_LIMIT),
        start=query.get("start") or None,
        fields=tuple(path.strip() for path in query.get("fields", "").split(",") if path.strip()),
        properties=tuple(_property(text) for text in properties),
    )


def page_of_events(
    wanted: EventQuery, profile_id: str, events: Sequence[Document], query: Sequence[tuple[str, str]], modified: str
) -> Document:
    """Return a page of a profile's events, which come oldest first. Raises InvalidRequest.

    ``query`` is what the call asked, for the link to the next page; ``modified`` tells when the profile changed last.
    """
    found = [event for event in events if _is_wanted(wanted, event)]
    if wanted.newest_first:
        found.reverse()
    ids = [str(event.get("_id", "")) for event in found]
    if wanted.start is not None and wanted.start not in ids:
        raise InvalidRequest(f"start names no event of the list: {wanted.start}", path=("start",))
    first = 0 if wanted.start is None else ids.index(wanted.start)
    last = first + wanted.limit
    following = ids[last] if last < len(ids) else ""
    again = [(name, value) for name, value in query if name != "start"]
    return {
        "_page": {
            "orderby": "-timestamp" if wanted.newest_first else "timestamp",
            "start": ids[first] if ids else "",
            "count": len(found[first:last]),
            "next": following,
        },
        "children": [_child(wanted, profile_id, event, modified) for event in found[first:last]],
        "_links": {"next": {"href": f"/entities?{urlencode([('start', following), *again])}" if following else ""}},
    }


def _child(wanted: EventQuery, profile_id: str, event: Document, modified: str) -> Document:
    return {
        "relatedEntityId": profile_id,
        "entityId": event.get("_id", ""),
        "timestamp": _moment_ms(event),
        "entity": selected(event, wanted.fields),
        "lastModifiedAt": modified,
    }


def _is_wanted(wanted: EventQuery, event: Document) -> bool:
    moment = _moment_ms(event)
    return (
        wanted.event in (None, event.get("_id"))
        and (wanted.begin_ms is None or moment >= wanted.begin_ms)
        and (wanted.end_ms is None or moment < wanted.end_ms)
        and all(_holds(event, one) for one in wanted.properties)
    )


def _moment_ms(event: Document) -> int:
    return epoch_ms(datetime.fromisoformat(event["timestamp"]).astimezone(UTC))


def _milliseconds(query: paging.Query, name: str) -> int | None:
    text = query.get(name, "")
    if text and not re.fullmatch(r"[0-9]{1,18}", text):
        raise InvalidRequest(f"{name} must be a moment in milliseconds since 1970", path=(name,))
    return int(text) if text else None


def _property(text: str) -> Property:
    found = _PROPERTY.fullmatch(text)
    if found is None:
        raise InvalidRequest(
            f"property cannot be {text!r}",
            hint="Write a path, one of = != < <= > >=, and a value.",
            path=("property",),
        )
    return found[1].split("."), found[2], found[3].strip().strip('"')


def _holds(event: Document, condition: Property) -> bool:
    path, sign, wanted = condition
    value: Any = event
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    if value is None:
        return False
    if isinstance(value, bool):
        value, other = str(value).lower(), wanted.lower()
        return _OPERATORS[sign](value, other)
    if isinstance(value, int | float):
        try:
            return _OPERATORS[sign](value, float(wanted))
        except ValueError:
            return False
    return _OPERATORS[sign](str(value), wanted)
