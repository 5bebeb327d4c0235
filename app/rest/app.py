"""The REST routes of the gateway, by entrance."""

from __future__ import annotations

from starlette.routing import Route

from app.rest.access_control import add_access_control
from app.rest.access_keys import add_access_keys
from app.rest.audiences import add_audiences
from app.rest.audit_log import add_audit_log
from app.rest.estimates import add_estimates
from app.rest.export_jobs import add_export_jobs
from app.rest.external_audiences import add_external_audiences
from app.rest.merge_policies import add_merge_policies
from app.rest.plumbing import Routes
from app.rest.problems import facade_error, problem_error
from app.rest.profiles import add_profiles
from app.rest.revisions import add_revisions
from app.rest.sandboxes import add_sandboxes
from app.rest.schedules import add_schedules
from app.rest.schemas import add_schemas
from app.rest.search import add_search
from app.rest.segment_definitions import add_segment_definitions
from app.rest.segment_jobs import add_segment_jobs
from app.rest.v1 import add_audit_events, add_sync, add_viewer
from app.services import Services
from app.tenancy.own_keys import OwnKeys


def facade_routes(services: Services) -> list[Route]:
    """Return AEP's own paths; they answer, and fail, exactly as AEP does."""
    routes = Routes(facade_error, services.dry_runs.complete)
    add_segment_definitions(routes, services.definitions)
    add_audiences(routes, services.audiences)
    add_estimates(routes, services.estimates)
    add_segment_jobs(routes, services.segment_jobs)
    add_export_jobs(routes, services.export_jobs)
    add_schedules(routes, services.schedules)
    add_external_audiences(routes, services.external_audiences)
    add_merge_policies(routes, services.merge_policies)
    add_search(routes, services.search)
    add_profiles(routes, services.profiles)
    add_sandboxes(routes, services.viewer, services.sandboxes)
    add_access_control(routes, services.viewer)
    add_schemas(routes, services.schemas)
    add_audit_log(routes, services.audit_log)
    return routes.routes


def v1_routes(services: Services, keys: OwnKeys) -> list[Route]:
    """Return the gateway's own paths."""
    routes = Routes(problem_error, services.dry_runs.complete)
    add_viewer(routes, services.viewer)
    add_sync(routes, services.freshness)
    add_access_keys(routes, keys)
    add_audit_events(routes, services.audit)
    add_revisions(routes, services.definitions, services.revisions)
    return routes.routes
