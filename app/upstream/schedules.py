"""Schedules at AEP (``/config/schedules``), with the four newer calls on the audiences of a schedule."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from app.aep import paths
from app.upstream.client import AEPClient, Call
from app.upstream.connection import Target
from app.upstream.listing import Listed, list_children


def list_schedules(params: tuple[tuple[str, str], ...]) -> Call:
    """Describe a page of the sandbox's schedules, with AEP's own query."""
    return Call("list_schedules", "GET", paths.SCHEDULES, params)


def every_schedule(client: AEPClient, target: Target) -> AsyncIterator[Listed]:
    """Yield every page of the sandbox's schedules."""
    return list_children(client, target, "list_schedules", paths.SCHEDULES, "schedules")


def get_schedule(schedule_id: str) -> Call:
    """Describe one schedule."""
    return Call("get_schedule", "GET", _path(schedule_id))


def map_schedule_audiences(body: Any) -> Call:
    """Describe the question which schedules audiences are on: a read, in spite of its method."""
    return Call("map_schedule_audiences", "POST", paths.SCHEDULES_AUDIENCE_MAP, body=body, safety="repeatable")


def create_schedule(body: Any) -> Call:
    """Describe the creation of a schedule."""
    return Call("create_schedule", "POST", paths.SCHEDULES, body=body, safety="once")


def update_schedule(schedule_id: str, operations: Any) -> Call:
    """Describe a change of ``/state`` or ``/schedule`` by JSON Patch."""
    return Call("update_schedule", "PATCH", _path(schedule_id), body=operations, safety="once")


def delete_schedule(schedule_id: str) -> Call:
    """Describe the deletion of a schedule."""
    return Call("delete_schedule", "DELETE", _path(schedule_id), safety="once")


def add_schedule_audiences(body: Any) -> Call:
    """Describe putting audiences on a schedule."""
    return Call("add_schedule_audiences", "POST", paths.SCHEDULES_ADD_AUDIENCES, body=body, safety="once")


def remove_schedule_audiences(body: Any) -> Call:
    """Describe taking audiences off a schedule."""
    return Call("remove_schedule_audiences", "POST", paths.SCHEDULES_REMOVE_AUDIENCES, body=body, safety="once")


def trigger_schedule(body: Any) -> Call:
    """Describe a run of a schedule now."""
    return Call("trigger_schedule", "POST", paths.SCHEDULES_TRIGGER, body=body, safety="once")


def _path(schedule_id: str) -> str:
    return paths.resource(paths.SCHEDULES, schedule_id)
