"""A process that calls AEP as a tenant: a command a line in, an answer a line out.

``call N`` makes N calls at once and says how many were answered; ``expire`` lets a day go by on the process's clock.
"""

from __future__ import annotations

import asyncio
import sys
from time import monotonic
from uuid import UUID

import httpx

from app.aep import paths
from app.settings import UpstreamSettings
from app.store.database import Database
from app.telemetry import Metrics, configure_logging
from app.tenancy.credentials import CredentialVault
from app.tenancy.upstream_tokens import SharedTokens
from app.upstream.client import AEPClient, Call
from app.upstream.connection import Target
from app.upstream.tokens import TokenCache
from tests.factories import SEALER

DAY_S = 86_400.0


async def main(database_url: str, tenant_id: UUID) -> None:
    configure_logging("ERROR", json=True)
    database = Database(database_url, pool_size=5)
    later_s = 0.0
    async with httpx.AsyncClient(timeout=30) as http:
        tokens = TokenCache(http, SharedTokens(database, SEALER), clock=lambda: monotonic() + later_s)
        client = AEPClient(http, CredentialVault(database, SEALER), tokens, UpstreamSettings(), Metrics())
        target, call = Target(tenant_id, "prod", "test"), Call("list", "GET", paths.SEGMENT_DEFINITIONS)
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            match line.split():
                case ["call", number]:
                    replies = await asyncio.gather(*(client.read(target, call) for _ in range(int(number))))
                    print(sum(reply.status == 200 for reply in replies), flush=True)
                case ["expire"]:
                    later_s += DAY_S
                    print("expired", flush=True)
        await tokens.aclose()
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], UUID(sys.argv[2])))
