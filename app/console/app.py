"""The GraphiQL page. It holds no rights: people sign in, or type their own access key into it."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC = Path(__file__).parent / "static"
STATIC_PATH = "/console/static"

# Monaco writes style elements as it goes, which is why styles may be inline; scripts may not.
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
    "img-src 'self' data:; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {"content-security-policy": _CONTENT_SECURITY_POLICY}
_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>GraphiQL · Segment gateway</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{STATIC_PATH}/graphiql.css">
</head>
<body>
<div id="graphiql">Loading…</div>
<script src="{STATIC_PATH}/graphiql.js"></script>
</body>
</html>
"""


def wants_page(request: Request) -> bool:
    """Tell a browser that opens ``/graphql`` from a client that queries it."""
    is_read = request.method in {"GET", "HEAD"} and "query" not in request.query_params
    return is_read and "text/html" in request.headers.get("accept", "")


class _PageRoute(Route):
    """Takes a path only from browsers, and leaves it to the next route otherwise."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is not Match.NONE and not (scope["type"] == "http" and wants_page(Request(scope))):
            return Match.NONE, {}
        return match, child


async def _graphiql(_request: Request) -> Response:
    return HTMLResponse(_PAGE, headers=_HEADERS)


def console_routes() -> list[BaseRoute]:
    """Return the page and its assets; they stand before the routes that share their path."""
    return [
        _PageRoute("/graphql", _graphiql, methods=["GET"]),
        Mount(STATIC_PATH, StaticFiles(directory=STATIC)),
    ]
