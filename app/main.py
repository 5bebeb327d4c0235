"""The composition root: settings in, applications out. The one module that knows everybody.

Read `build_gateway` from top to bottom to see what the gateway is made of, and `_middleware` to see what a request
meets, in that order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import structlog
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.asgi import SECURITY_HEADERS, BodyLimit, SecurityHeaders, TrailingSlash
from app.audit.checkpoints import CheckpointKey, CheckpointWriter
from app.audit.recorder import AuditRecorder
from app.auth.bearer import BearerAuthenticator
from app.auth.browser import BrowserSessions
from app.auth.clients import ClientTokens
from app.auth.cors import CrossOrigin
from app.auth.last_use import LastUse
from app.auth.limits import RequestLimits
from app.auth.middleware import ContextMiddleware, RequestMiddleware
from app.auth.people_tokens import PeopleTokens
from app.auth.sessions import Sessions
from app.auth.sign_in import SignIn
from app.auth.signing import SigningKeys
from app.console.app import console_routes, wants_page
from app.console.sign_in import sign_in_routes
from app.context import Entrance
from app.errors import GatewayError, InternalError, MethodNotAllowed, NotFound, PayloadTooLarge
from app.graphql.app import graphql_routes
from app.graphql.errors import error_response as graphql_error
from app.rest.app import facade_routes, v1_routes
from app.rest.ims import ims_routes
from app.rest.problems import facade_error, problem_error
from app.services import Services
from app.services.audiences import AudienceService
from app.services.audit import AuditService
from app.services.audit_log import AuditLogService
from app.services.door import Step, WriteDoor
from app.services.dry_run import DryRunService
from app.services.estimates import EstimateService
from app.services.export_jobs import ExportJobService
from app.services.external_audiences import ExternalAudienceService
from app.services.freshness import FreshnessService
from app.services.kept_objects import KeptObjectService
from app.services.merge_policies import MergePolicyService
from app.services.profiles import ProfileService
from app.services.relay import Relay
from app.services.revisions import RevisionService
from app.services.rules import RuleService
from app.services.sandboxes import SandboxService
from app.services.schedules import ScheduleService
from app.services.schemas import SchemaService
from app.services.search import SearchService
from app.services.segment_definitions import SegmentDefinitionService
from app.services.segment_jobs import SegmentJobService
from app.services.viewer import ViewerService
from app.settings import AuditSettings, SecuritySettings, Settings
from app.store.database import Database
from app.store.migrate import head_revision
from app.store.notifications import NotificationListener
from app.sync.drift import DriftRecorder
from app.sync.pull import Progress, SandboxPuller
from app.sync.reconcile import Reconciler
from app.sync.worker import SyncWorker
from app.telemetry import Metrics
from app.tenancy.canary import Canary
from app.tenancy.credentials import CredentialVault
from app.tenancy.own_keys import OwnKeys
from app.tenancy.people import People
from app.tenancy.resolve import TenancyResolver
from app.tenancy.sealing import Sealer, keys_of_file, read_master_keys
from app.tenancy.upstream_circuits import SharedCircuits, listen_with
from app.tenancy.upstream_tokens import SharedTokens
from app.upstream.circuits import Circuits
from app.upstream.client import AEPClient
from app.upstream.openid import OpenIDClient
from app.upstream.tokens import TokenCache

log = structlog.get_logger(__name__)

PROTECTED = {
    "/graphql": Entrance.GRAPHQL,
    "/v1": Entrance.REST,
    "/data": Entrance.FACADE,
}


@dataclass(frozen=True, slots=True)
class Gateway:
    """The running parts that callers of `build_gateway` may want to hold."""

    app: Starlette
    database: Database
    sealer: Sealer
    services: Services
    sync: SyncWorker
    notifications: NotificationListener
    reconciler: Reconciler


def make_sealer(security: SecuritySettings, state_dir: Path) -> Sealer:
    """Return the sealer with the keys of the environment, or with those kept in the state folder."""
    if security.master_key is not None:
        return Sealer(*read_master_keys(security.master_key.get_secret_value()))
    file = state_dir / "master.key"
    return Sealer(*keys_of_file(file), reload=lambda: keys_of_file(file))


def make_checkpoint_key(audit: AuditSettings, state_dir: Path) -> CheckpointKey:
    """Return the key of the environment that signs checkpoints, or one kept in the state folder."""
    if audit.audit_signing_key is not None:
        return CheckpointKey.read(audit.audit_signing_key.get_secret_value())
    return CheckpointKey.of_file(state_dir / "audit-signing.key")


async def build_gateway(
    settings: Settings,
    database_url: str,
    *,
    http: httpx.AsyncClient | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Gateway:
    """Wire the gateway on a migrated database.

    ``http`` is the client for calls to Adobe; the application closes it. ``on_step`` hears of each step of the write
    door: it is there for the test that lets a process die at each of them. Raises `UnsafeRole` when the database role
    could see across tenants, `SchemaOutOfDate` when migrations are missing.
    """
    database = Database(
        database_url, pool_size=settings.database.database_pool_size, timeout_s=settings.database.database_timeout_s
    )
    await database.verify(head_revision())
    sealer = make_sealer(settings.security, settings.server.state_dir)
    checkpoints = CheckpointWriter(
        database,
        make_checkpoint_key(settings.audit, settings.server.state_dir),
        interval_s=settings.audit.audit_checkpoint_interval_s,
    )
    metrics = Metrics()
    listen_url = settings.database.database_listen_url
    notifications = NotificationListener(listen_url.get_secret_value() if listen_url else database_url)

    outbound = http or httpx.AsyncClient(follow_redirects=False, limits=httpx.Limits(max_connections=200))
    tokens = TokenCache(outbound, SharedTokens(database, sealer))
    circuits = Circuits(SharedCircuits(database), concurrency=settings.upstream.upstream_concurrency)
    notifications.add_handler(partial(listen_with, circuits))
    vault = CredentialVault(database, sealer)
    upstream = AEPClient(outbound, vault, tokens, settings.upstream, metrics, circuits=circuits)
    recorder = AuditRecorder()
    drift = DriftRecorder(database, upstream, recorder)
    sync = SyncWorker(database, SandboxPuller(database, upstream, metrics, settings.sync, drift=drift), settings.sync)
    metrics.sync_lag_seconds.set_function(sync.lag_s)
    steps = {} if on_step is None else {"on_step": on_step}
    door = WriteDoor(database, upstream, recorder, metrics, settings.write, listener=sync, **steps)
    reconciler = Reconciler(database, upstream, recorder, metrics, settings.write)
    services = _services(settings, database, upstream, sync, door)

    clients = ClientTokens(
        database,
        await SigningKeys.load(database, sealer, lifetime_s=settings.security.access_token_lifetime_s),
        lifetime_s=settings.security.access_token_lifetime_s,
    )
    providers = OpenIDClient(outbound)
    people = PeopleTokens(database, providers, People(database, recorder))
    last_use = LastUse(database)
    sessions = Sessions(
        database,
        recorder,
        last_use,
        idle_s=settings.sign_in.session_idle_s,
        lifetime_s=settings.sign_in.session_lifetime_s,
    )
    browsers = BrowserSessions(sessions, settings.sign_in.public_url)
    background = [
        sync.run,
        checkpoints.run,
        notifications.run,
        reconciler.run,
        last_use.run,
        Canary(database, metrics).run,
    ]
    app = Starlette(
        routes=[
            *console_routes(),
            *sign_in_routes(SignIn(database, sealer, providers, people), browsers),
            *graphql_routes(services),
            *facade_routes(services),
            *v1_routes(services, OwnKeys(database, recorder)),
            *ims_routes(clients),
            *_operations_routes(database, metrics),
        ],
        middleware=_middleware(
            database,
            BearerAuthenticator(database, clients, people, last_use),
            browsers,
            RequestLimits(
                database,
                per_tenant=settings.limits.tenant_requests_per_minute,
                per_credential=settings.limits.credential_requests_per_minute,
            ),
            metrics,
            settings.server.max_body_bytes,
        ),
        exception_handlers={404: _not_found, 405: _method_not_allowed, Exception: _unexpected},
        lifespan=_lifespan(database, outbound, tokens, door, background),
    )
    app.router.redirect_slashes = False
    return Gateway(app, database, sealer, services, sync, notifications, reconciler)


@asynccontextmanager
async def open_sync(
    settings: Settings, database_url: str, on_progress: Callable[[Progress], None]
) -> AsyncIterator[SyncWorker]:
    """Wire what reads sandboxes, without anything that serves, for the command line."""
    database = Database(database_url, pool_size=settings.database.database_pool_size)
    outbound = httpx.AsyncClient(follow_redirects=False)
    try:
        await database.verify(head_revision())
        sealer = make_sealer(settings.security, settings.server.state_dir)
        metrics = Metrics()
        tokens = TokenCache(outbound, SharedTokens(database, sealer))
        upstream = AEPClient(outbound, CredentialVault(database, sealer), tokens, settings.upstream, metrics)
        drift = DriftRecorder(database, upstream, AuditRecorder())
        puller = SandboxPuller(database, upstream, metrics, settings.sync, drift=drift, on_progress=on_progress)
        yield SyncWorker(database, puller, settings.sync)
        await tokens.aclose()
    finally:
        await outbound.aclose()
        await database.close()


def _services(
    settings: Settings, database: Database, upstream: AEPClient, sync: SyncWorker, door: WriteDoor
) -> Services:
    freshness = FreshnessService(database, sync, stale_after=timedelta(seconds=settings.sync.stale_after_s))
    rules = RuleService(database)
    relay = Relay(upstream, door)
    estimates = EstimateService(upstream, door, rules)
    kept = KeptObjectService(database, freshness)
    definitions = SegmentDefinitionService(database, upstream, door, rules, freshness)
    return Services(
        definitions=definitions,
        revisions=RevisionService(database, definitions),
        audiences=AudienceService(database, upstream, door, rules, freshness),
        estimates=estimates,
        dry_runs=DryRunService(database, upstream, rules, estimates),
        segment_jobs=SegmentJobService(upstream, door, kept),
        export_jobs=ExportJobService(relay),
        schedules=ScheduleService(relay, kept),
        external_audiences=ExternalAudienceService(relay),
        merge_policies=MergePolicyService(relay),
        search=SearchService(relay),
        profiles=ProfileService(relay),
        schemas=SchemaService(relay),
        sandboxes=SandboxService(relay),
        audit_log=AuditLogService(database),
        audit=AuditService(database),
        rules=rules,
        freshness=freshness,
        viewer=ViewerService(database),
    )


def _middleware(
    database: Database,
    authenticator: BearerAuthenticator,
    browsers: BrowserSessions,
    limits: RequestLimits,
    metrics: Metrics,
    max_body_bytes: int,
) -> list[Middleware]:
    """What a request meets before its route, outermost first."""
    return [
        Middleware(SecurityHeaders),
        Middleware(TrailingSlash),
        Middleware(RequestMiddleware, metrics=metrics, entrance_of=entrance_of),
        Middleware(
            CrossOrigin, database=database, is_protected=lambda request: _entrance_at(request.url.path) is not None
        ),
        Middleware(
            ContextMiddleware,
            authenticator=authenticator,
            browsers=browsers,
            limits=limits,
            resolver=TenancyResolver(database),
            entrance_of=entrance_of,
            render_error=error_response,
        ),
        Middleware(BodyLimit, max_body_bytes=max_body_bytes, refuse=_too_large),
    ]


def entrance_of(request: Request) -> Entrance | None:
    """Return the protected entrance that a request uses; ``None`` where everybody may enter."""
    entrance = _entrance_at(request.url.path)
    # A browser that opens /graphql gets the GraphiQL page, which asks for the key itself.
    return None if entrance is Entrance.GRAPHQL and wants_page(request) else entrance


def _entrance_at(path: str) -> Entrance | None:
    for prefix, entrance in PROTECTED.items():
        if path == prefix or path.startswith(prefix + "/"):
            return entrance
    return None


def error_response(request: Request, problem: GatewayError) -> Response:
    """Answer with an error in the shape of the entrance."""
    match _entrance_at(request.url.path):
        case Entrance.GRAPHQL:
            return graphql_error(request, problem)
        case Entrance.FACADE:
            return facade_error(request, problem)
        case _:
            return problem_error(request, problem)


def _too_large(request: Request, max_body_bytes: int) -> Response:
    return error_response(request, PayloadTooLarge(f"The body is larger than {max_body_bytes} bytes."))


def _not_found(request: Request, _exc: Exception) -> Response:
    return error_response(request, NotFound(f"There is nothing at {request.url.path}."))


def _method_not_allowed(request: Request, exc: Exception) -> Response:
    response = error_response(request, MethodNotAllowed(f"{request.url.path} does not take {request.method}."))
    response.headers.update(getattr(exc, "headers", None) or {})
    return response


def _unexpected(request: Request, exc: Exception) -> Response:
    log.error("request.crashed", exc_info=exc)
    problem = exc if isinstance(exc, GatewayError) else InternalError("Something went wrong on our side.")
    response = error_response(request, problem)
    response.headers.update(SECURITY_HEADERS)  # this answer is made outside all layers
    return response


def _operations_routes(database: Database, metrics: Metrics) -> list[Route]:
    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_request: Request) -> Response:
        try:
            await database.ping()
        except GatewayError as problem:
            return JSONResponse({"status": "unavailable", "reason": problem.title}, status_code=503)
        return JSONResponse({"status": "ok"})

    async def metrics_page(_request: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics_page)]


def _lifespan(
    database: Database,
    outbound: httpx.AsyncClient,
    tokens: TokenCache,
    door: WriteDoor,
    background: Sequence[Callable[[], Coroutine[Any, Any, None]]],
) -> Callable[[Starlette], contextlib.AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(run(), name=run.__qualname__) for run in background]
        try:
            yield
        finally:
            for task in reversed(tasks):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            await door.drain()
            await tokens.aclose()
            await outbound.aclose()
            await database.close()

    return lifespan
