"""The emulator as an ASGI application: an AEP segmentation service and its IMS, reached only by HTTP.

A request passes plumbing (size, slashes, log), then the gate (headers, organization, sandbox), then the handler of
its resource. State and samples are opened at start-up and closed at shut-down.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.asgi import BodyLimit, TrailingSlash
from app.emulator import organizations as organizations_file
from app.emulator import state as state_file
from app.emulator.access_control import AccessControl
from app.emulator.answers import json_answer
from app.emulator.audiences import Audiences
from app.emulator.audit_log import AuditLog
from app.emulator.background import Background, repeat
from app.emulator.clock import Clock, TimeSource
from app.emulator.clock_control import ClockControl
from app.emulator.estimates import Estimates
from app.emulator.export_job_work import ExportJobWork
from app.emulator.export_jobs import ExportJobs
from app.emulator.external_audience_work import ExternalAudienceWork
from app.emulator.external_audiences import ExternalAudiences
from app.emulator.fault_control import FaultControl
from app.emulator.fault_injection import FaultInjection
from app.emulator.faults import Faults
from app.emulator.gate import Gate
from app.emulator.guardrails import GuardrailControl
from app.emulator.ims import IMS
from app.emulator.ingestion import Ingestion
from app.emulator.membership_feed import MembershipFeed
from app.emulator.merge_policies import MergePolicies
from app.emulator.organizations import Organizations
from app.emulator.platform_audiences import PlatformAudiences
from app.emulator.plumbing import RequestLog, answer_http_exception, refuse_large_body
from app.emulator.populations import Populations, Progress
from app.emulator.presence import Presence
from app.emulator.profiles import Profiles
from app.emulator.record_streams import RecordStreams
from app.emulator.rules import RuleBook
from app.emulator.sandbox_control import SandboxControl
from app.emulator.sandbox_lifecycle import SandboxLifecycle
from app.emulator.sandboxes import Sandboxes
from app.emulator.scenario_control import ScenarioControl
from app.emulator.scheduler import Scheduler
from app.emulator.schedules import Schedules
from app.emulator.schema_registry import SchemaRegistry
from app.emulator.search import Search
from app.emulator.seeding import Seeding, prepare
from app.emulator.segment_definitions import SegmentDefinitions
from app.emulator.segment_job_work import SegmentJobWork
from app.emulator.segment_jobs import SegmentJobs
from app.emulator.settings import EmulatorSettings
from app.emulator.state import State
from app.emulator.tokens import TokenOffice, load_or_create_key
from app.emulator.workplaces import Workplaces
from app.errors import GatewayError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Resources:
    """What the handlers share while the application runs."""

    organizations: Organizations
    state: State
    clock: Clock
    populations: Populations
    background: Background
    presence: Presence
    lifecycle: SandboxLifecycle


def create_app(
    settings: EmulatorSettings, *, clock: TimeSource | None = None, progress: Progress | None = None
) -> Starlette:
    """Return the application. It opens its state folder when it starts up, and makes what is not there yet.

    ``progress`` is told, as (what, share done from 0 to 1), how far samples and files of a scenario are; without it
    that goes to the log. ``clock`` is what the emulator's own clock follows until it is changed; the default is the
    machine's. Start-up raises InternalError when the state cannot be used.
    """
    tell = progress or _log_progress
    faults = Faults()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                resources = await _open(settings, clock, tell, stack)
                tokens = await _tokens(settings, resources)
                app.state.withdraw_token = tokens.withdraw
                app.router.routes[:] = [
                    *FaultControl(faults).routes(),
                    *await _routes(settings, resources, tokens, tell),
                ]
            except GatewayError as fault:
                app.state.start_fault = fault  # for whoever runs the server, which only says that it did not start
                raise
            log.info("emulator.ready", organizations=len(resources.organizations.all()))
            yield
        log.info("emulator.stopped")

    app = Starlette(
        routes=[Route("/healthz", _starting, methods=["GET"])],
        middleware=[
            Middleware(RequestLog),
            Middleware(TrailingSlash),
            Middleware(BodyLimit, max_body_bytes=settings.max_body_bytes, refuse=refuse_large_body),
            Middleware(FaultInjection, faults=faults, by_header=settings.faults_by_header),
        ],
        exception_handlers={HTTPException: answer_http_exception},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


async def _open(
    settings: EmulatorSettings, source: TimeSource | None, progress: Progress, stack: AsyncExitStack
) -> _Resources:
    await asyncio.to_thread(settings.state_dir.mkdir, mode=0o700, parents=True, exist_ok=True)
    if settings.scenario is not None:
        await asyncio.to_thread(prepare, settings.state_dir, settings.scenario)
    organizations = await asyncio.to_thread(organizations_file.load_or_create, settings.state_dir)
    state = await asyncio.to_thread(State, settings.state_dir / state_file.FILE_NAME)
    stack.callback(state.close)
    clock = await Clock.open(source, state)
    populations = await Populations.open(settings, organizations, clock, progress)
    stack.push_async_callback(populations.close)
    state.listen_to_audiences(populations.forget_deleted)
    background = Background(settings.concurrent_evaluations)
    stack.push_async_callback(background.close, settings.shutdown_timeout_s)
    presence = Presence()
    lifecycle = SandboxLifecycle(settings.state_dir, organizations, state, populations, background, presence)
    await lifecycle.finish()
    return _Resources(organizations, state, clock, populations, background, presence, lifecycle)


async def _tokens(settings: EmulatorSettings, resources: _Resources) -> TokenOffice:
    key = await asyncio.to_thread(load_or_create_key, settings.state_dir)
    revoked = await resources.state.revoked_tokens()
    return TokenOffice(key, resources.clock, lifetime_s=settings.token_lifetime_s, revoked=revoked)


async def _routes(
    settings: EmulatorSettings, resources: _Resources, tokens: TokenOffice, progress: Progress
) -> list[BaseRoute]:
    organizations, state, clock = resources.organizations, resources.state, resources.clock
    guardrails = await GuardrailControl.open(state)
    gate = Gate(organizations, tokens, state, clock, guardrails, resources.presence)
    rules = RuleBook()
    writer = PlatformAudiences(rules, guardrails)
    populations, background = resources.populations, resources.background
    estimates = Estimates(gate, rules, populations, background, clock, step_s=settings.estimate_step_s)
    workplaces = Workplaces(organizations, state, populations)
    feed = MembershipFeed()
    streams = RecordStreams(
        workplaces, rules, clock, feed, background, state_dir=settings.state_dir, tick_s=settings.stream_tick_s
    )
    await streams.recover()
    if settings.scenario is not None:
        await Seeding(workplaces, rules, tokens, state, clock, progress).apply(settings.scenario)
    job_work = SegmentJobWork(rules, background, clock, step_s=settings.job_step_s)
    export_work = ExportJobWork(rules, background, clock, state_dir=settings.state_dir, step_s=settings.job_step_s)
    jobs = SegmentJobs(gate, workplaces, job_work, guardrails, max_unfinished=settings.max_unfinished_jobs)
    external_work = ExternalAudienceWork(
        workplaces, background, clock, state_dir=settings.state_dir, step_s=settings.job_step_s
    )
    for place in workplaces.all():
        await external_work.resume(place)
        await estimates.resume(place)
        await job_work.resume(place)
        await export_work.resume(place)
    scheduler = Scheduler(workplaces, job_work, export_work, clock)
    for what, look in (("schedules", scheduler.look), ("external audiences", external_work.expire)):
        clock.listen(look)
        background.start(what, repeat(look, settings.scheduler_poll_s))
    await streams.start(state)
    return [
        Route("/healthz", _healthz(organizations), methods=["GET"]),
        *Ingestion(workplaces, streams, tokens, clock).routes(),
        *feed.routes(),
        *ClockControl(clock).routes(),
        *guardrails.routes(),
        *SandboxControl(resources.lifecycle, organizations, clock).routes(),
        *ScenarioControl(workplaces).routes(),
        *IMS(organizations, tokens, state).routes(),
        *SegmentDefinitions(gate, rules, writer).routes(),
        *Audiences(gate, writer).routes(),
        *ExternalAudiences(gate, workplaces, external_work).routes(),
        *estimates.routes(),
        *jobs.routes(),
        *ExportJobs(gate, workplaces, export_work).routes(),
        *Search(gate).routes(),
        *Schedules(gate, workplaces, scheduler, guardrails).routes(),
        *MergePolicies(gate, guardrails).routes(),
        *Profiles(gate, workplaces, guardrails).routes(),
        *AccessControl(gate).routes(),
        *AuditLog(gate, clock).routes(),
        *Sandboxes(gate, resources.lifecycle, guardrails).routes(),
        *SchemaRegistry(gate).routes(),
    ]


def _healthz(organizations: Organizations) -> Callable[[Request], Response]:
    def healthz(_request: Request) -> Response:
        return json_answer({"status": "ok", "organizations": len(organizations.all())})

    return healthz


def _starting(_request: Request) -> Response:
    return json_answer({"status": "starting"}, 503)


def _log_progress(what: str, share: float) -> None:
    log.info("emulator.sample_progress", what=what, percent=round(share * 100))
