"""What it costs to know who calls, for which organization and with which permissions.

One ASGI application is called in process, once bare and once behind the middleware that authenticates, counts the
request and finds tenant, sandbox and permissions; the difference of the medians is the overhead. Everything is read
from PostgreSQL with each request, which is why a permission that is taken away is gone at once; ``time of one read``
is what a single empty unit of work costs on this machine, for comparison.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import Message

from app.audit.recorder import AuditRecorder
from app.auth.bearer import BearerAuthenticator
from app.auth.browser import BrowserSessions
from app.auth.clients import ClientTokens
from app.auth.last_use import LastUse
from app.auth.limits import RequestLimits
from app.auth.middleware import ContextMiddleware
from app.auth.sessions import Sessions
from app.auth.signing import SigningKeys
from app.context import Entrance, Role
from app.context.permissions import Permission
from app.services.permissions import require
from app.store import migrate
from app.store.database import Database
from app.store.embedded import EmbeddedPostgres
from app.tenancy.resolve import TenancyResolver
from benchmarks.measure import by_turns, console
from tests.factories import SEALER, make_tenant


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1_000, help="measured turns (default 1,000)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder))
        server.start()
        try:
            asyncio.run(_measure(server, given.rounds))
        finally:
            server.stop()


async def _measure(server: EmbeddedPostgres, rounds: int) -> None:
    owner = server.url("postgres")
    await migrate.migrate(owner)
    database = Database(server.url(await migrate.create_login_role(owner)), pool_size=2)
    try:
        works = await _works(database)
        medians = await by_turns(works, rounds)
    finally:
        await database.close()
    bare = medians.pop("bare application")
    for name, seconds in medians.items():
        console.print(f"{name:<32} {(seconds - bare) * 1000:6.3f} ms over the bare application ({bare * 1000:.3f} ms)")


async def _works(database: Database) -> dict[str, Callable[[], Awaitable[object]]]:
    luma, recorder = await make_tenant(database), AuditRecorder()
    profile = await luma.administration.create_product_profile(luma.id, "Authors", [Permission.MANAGE_SEGMENTS])
    key = await luma.administration.add_person(luma.id, "ann@luma.example", profile, Role.DEVELOPER)
    issued = await luma.administration.issue_integration(luma.id, "Loader", profile, ["openid"])
    clients = ClientTokens(database, await SigningKeys.load(database, SEALER), lifetime_s=3600)
    token = (await clients.issue(issued.client_id, issued.client_secret)).access_token
    last_use = LastUse(database)
    sessions = Sessions(database, recorder, last_use, idle_s=3600, lifetime_s=3600)

    async def permitted(scope: Any, receive: Any, send: Any) -> None:
        require(scope["state"]["context"], "list_segment_definitions")
        await _bare(scope, receive, send)

    def refuse(_request: object, problem: Exception) -> Any:
        raise problem

    guarded = ContextMiddleware(
        permitted,
        authenticator=BearerAuthenticator(database, clients, None, last_use),
        browsers=BrowserSessions(sessions, None),
        limits=RequestLimits(database, per_tenant=1_000_000_000, per_credential=1_000_000_000),
        resolver=TenancyResolver(database),
        entrance_of=lambda _request: Entrance.FACADE,
        render_error=refuse,
    )

    async def empty_read() -> None:
        async with database.read(luma.id):
            pass

    return {
        "bare application": lambda: _call(_bare, ""),
        "time of one read": empty_read,
        "with an access key": lambda: _call(guarded, key),
        "with an integration's token": lambda: _call(guarded, token),
    }


async def _bare(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse("ok")(scope, receive, send)


async def _call(app: Callable[..., Awaitable[None]], credential: str) -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] != 200:
            raise RuntimeError(f"status {message['status']}")

    headers = [(b"authorization", f"Bearer {credential}".encode()), (b"host", b"gateway.test")]
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers}
    await app(scope | {"state": {"request_id": "benchmark"}}, receive, send)


if __name__ == "__main__":
    main()
