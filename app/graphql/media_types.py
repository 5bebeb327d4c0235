"""Which of the two media types an answer has."""

from __future__ import annotations

from starlette.requests import Request

GRAPHQL_RESPONSE = "application/graphql-response+json"
JSON_RESPONSE = "application/json"


def media_type_of(request: Request) -> str:
    """Return the media type that the client would rather have; plain JSON for one that does not say.

    A client that names the newer type gets it unless it would rather have plain JSON. One that admits neither gets
    plain JSON all the same: an answer in a type that was not asked for says more than none.
    """
    ranges = dict(_range(part) for part in request.headers.get("accept", "").lower().split(","))
    newer = ranges.get(GRAPHQL_RESPONSE, 0.0)
    return GRAPHQL_RESPONSE if newer > 0 and newer >= ranges.get(JSON_RESPONSE, 0.0) else JSON_RESPONSE


def _range(text: str) -> tuple[str, float]:
    name, *parameters = (part.strip() for part in text.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return name, float(parameter.removeprefix("q="))
            except ValueError:
                return name, 0.0
    return name, 1.0
