"""No body and no query makes the emulator break: whatever is wrong with them is told as the caller's fault."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.routing import Route

from tests.emulator.conftest import Emulator, Start

_BODIES: list[Any] = [
    None,
    [],
    {},
    "text",
    5,
    True,
    [None],
    [[]],
    [5],
    [{}],
    ["*", {}],
    [{"segmentId": None}],
    [{"op": None, "path": 5, "value": []}],
    [{"op": "add", "path": "/", "value": {}}],
    {"ids": [5, None, {"id": {}}]},
    {"id": {}, "segments": [None], "name": [], "type": {}, "properties": 5, "schedule": [], "state": {}},
    {"id": "x", "segments": ["x"], "name": "x", "type": "export", "properties": {"segments": {}}},
    {"destination": [], "schema": "x", "filter": 5, "mergePolicy": "x"},
    {
        "destination": {"datasetId": "x", "segmentPerBatch": True},
        "schema": {"name": "_xdm.context.profile"},
        "filter": {"segments": [{"segmentId": "x", "status": [{}]}], "segmentQualificationTime": {"startTime": 10**30}},
        "mergePolicy": {"id": {}, "version": []},
    },
    {"name": "x" * 5000, "expression": {"type": "PQL", "format": "pql/text", "value": "(" * 5000}, "schema": {}},
    {
        "name": "\ud83d\ude00\u0000",
        "expression": {"type": "PQL", "format": "pql/json", "value": "{]"},
        "schema": {"name": "_xdm.context.profile"},
        "mergePolicyId": 5,
        "labels": [5],
        "evaluationInfo": {"batch": None},
    },
    {"predicateExpression": "1/0 = 1", "predicateModel": [], "graphType": {}},
    {"dataFilterStartTime": -1, "dataFilterEndTime": 10**30, "differentialIngestion": "maybe"},
    {"jobId": "x", "jobType": "AO", "resources": [{"audienceId": "x", "namespace": [], "operations": [{}]}]},
    {"name": "x", "type": {}, "lifecycleState": {}, "namespace": [], "audienceId": {}},
    {"type": "ExternalSegment", "lifecycleState": [], "lifecycle": {}, "namespace": {}},
    {"set": [], "advance": {}, "rate": [], "soft": {}},
]
_QUERIES = (
    {"limit": "-1", "start": "x", "page": "1e9", "sort": "nothing:up", "property": "==", "offset": "x_y"},
    {"limit": "99999999999", "start": "99999999999", "offset": "9" * 30 + "_1", "orderBy": "-", "queryId": "e30"},
    {"property": "timestamp>9999999999999999", "date": "0000-00-00", "sortBy": ":", "orderby": ",,"},
    {"property": "timestamp>0001-01-01T00:00:00+23:59", "s": "(((" * 99, "schema.name": "\u0000"},
    {"entityId": "\u0000'\"", "entityIdNS": "\u0000'\"", "schema.name": "_xdm.context.profile", "fields": "..,,.a..b"},
    {"evaluationInfo.batch.enabled": "perhaps", "withMetrics": "x", "default": "x", "name": "😀"},
)

_WITHOUT_END = {"/emulator/membership-changes"}
"""Feeds, which a client that waits for the whole answer never leaves."""


@pytest.fixture
async def emulator(start: Start) -> AsyncIterator[Emulator]:
    async with start(scheduler_poll_s=600) as running_emulator:
        yield running_emulator


def _routes(emulator: Emulator, *methods: str) -> list[tuple[str, str]]:
    app = emulator.http._transport.app
    found = [route for route in app.routes if isinstance(route, Route)]
    return [
        (method, re.sub(r"{\w+}", "unknown", route.path))
        for route in found
        if not route.path.startswith("/ims/") and route.path not in _WITHOUT_END
        for method in methods
        if method in (route.methods or set())
    ]


async def test_no_body_breaks_a_call(emulator: Emulator) -> None:
    headers = {**await emulator.headers(), "content-type": "application/json"}
    routes = _routes(emulator, "POST", "PUT", "PATCH")
    assert len(routes) > 25
    broken = []
    for method, path in routes:
        for body in [*_BODIES, "no json {"]:
            content = body if body == "no json {" else json.dumps(body)
            answer = await emulator.http.request(method, path, content=content, headers=headers)
            if answer.status_code >= 500 and answer.status_code != 501:
                broken.append((method, path, content[:200], answer.text[:300]))
    assert broken == []


async def test_no_body_breaks_a_change_of_something_that_is_there(emulator: Emulator) -> None:
    made = await emulator.create("Gold")
    headers = {**await emulator.headers(), "content-type": "application/json"}
    broken = []
    for method, path in (
        ("PATCH", f"/data/core/ups/segment/definitions/{made['id']}"),
        ("PATCH", f"/data/core/ups/audiences/{made['id']}"),
        ("PUT", f"/data/core/ups/audiences/{made['id']}"),
    ):
        for body in _BODIES:
            answer = await emulator.http.request(method, path, content=json.dumps(body), headers=headers)
            if answer.status_code >= 500 and answer.status_code != 501:
                broken.append((method, path, body, answer.text[:300]))
    assert broken == []


async def test_no_query_breaks_a_read(emulator: Emulator) -> None:
    await emulator.create("Gold")
    headers = {**await emulator.headers(), "x-ups-search-version": "1.0"}
    routes = _routes(emulator, "GET")
    assert len(routes) > 25
    broken = []
    for method, path in routes:
        for query in _QUERIES:
            answer = await emulator.http.request(method, path, params=query, headers=headers)
            if answer.status_code >= 500 and answer.status_code != 501:
                broken.append((path, query, answer.text[:300]))
    assert broken == []
