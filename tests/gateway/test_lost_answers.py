"""Changes that AEP has made and whose answer cannot be kept: the audit says unknown, and so does the caller's error."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.gateway.conftest import Emulator, running_stack
from tests.gateway.test_upstream_faults import DEFINITIONS, phase_of
from tests.gateway.test_writes import body, create, unique

PROFILE = {"name": "_xdm.context.profile"}


class Tampering(httpx.AsyncHTTPTransport):
    """Real calls to the emulator; the answers to creations lose their ids."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        if request.method != "POST" or not request.url.path.startswith("/data/core/"):
            return answer
        await answer.aread()
        return httpx.Response(answer.status_code, json={"surprise": True})


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        (DEFINITIONS, body(unique("Nameless"))),
        (
            "/data/core/ups/preview",
            {
                "predicateExpression": 'person.gender = "female"',
                "predicateType": "pql/text",
                "predicateModel": "_xdm.context.profile",
            },
        ),
        ("/data/core/ups/segment/jobs", {"schema": PROFILE, "segments": [{"segmentId": "*"}]}),
        ("/data/core/ups/export/jobs", {"schema": PROFILE, "destination": {"datasetId": "lost"}}),
        (
            "/data/core/ups/config/schedules",
            {"name": "lost", "type": "batch_segmentation", "properties": {"segments": ["*"]}},
        ),
        (
            "/data/core/ais/external-audience",
            {
                "name": "lost",
                "fields": [{"name": "email", "type": "string", "identityNs": "Email"}],
                "sourceSpec": {"params": {"path": "lost.csv", "type": "file"}},
                "originName": "CUSTOM_UPLOAD",
            },
        ),
    ],
)
async def test_an_answer_without_an_id_is_unknown_and_says_what_to_do(
    emulator: Emulator, database_url: str, tmp_path: Path, path: str, sent: dict[str, object]
) -> None:
    async with running_stack(emulator, database_url, tmp_path, http=httpx.AsyncClient(transport=Tampering())) as stack:
        request_id = unique("request").replace(" ", "-")
        reply = await stack.facade("POST", path, json=sent, headers={"x-request-id": request_id})
        assert reply.status_code == 503
        assert "Look the object up before you repeat the call" in reply.text
        assert await phase_of(stack, request_id) == "unknown"


class Slow(httpx.AsyncHTTPTransport):
    """Real calls; the answer to a deletion waits until the test lets it through."""

    def __init__(self) -> None:
        super().__init__()
        self.deleted = asyncio.Event()
        self.released = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        if request.method == "DELETE":
            self.deleted.set()
            await self.released.wait()
        return answer


async def test_a_deletion_that_the_sync_saw_first_succeeds_all_the_same(
    emulator: Emulator, database_url: str, tmp_path: Path
) -> None:
    transport = Slow()
    async with running_stack(emulator, database_url, tmp_path, http=httpx.AsyncClient(transport=transport)) as stack:
        made = (await create(stack, unique("Going")))["segmentDefinition"]
        query = """mutation ($id: ID!) { deleteSegmentDefinition(input: {id: $id}) {
            segmentDefinition { aepId } userErrors { code } auditEvent { phase } } }"""
        deletion = asyncio.create_task(stack.graphql(query, {"id": made["id"]}))
        await transport.deleted.wait()
        listed = "query ($id: String!) { segmentDefinition(aepId: $id) { name } }"
        while (await stack.graphql(listed, {"id": made["aepId"]}))["data"]["segmentDefinition"]:
            await asyncio.sleep(0.05)
        transport.released.set()
        assert (await deletion)["data"]["deleteSegmentDefinition"] == {
            "segmentDefinition": {"aepId": made["aepId"]},
            "userErrors": [],
            "auditEvent": {"phase": "SUCCEEDED"},
        }
        revisions = (await stack.facade("GET", f"/v1/segment-definitions/{made['aepId']}/revisions")).json()[
            "revisions"
        ]
        assert (revisions[0]["deleted"], revisions[0]["source"]) == (True, "gateway")
        assert revisions[0]["author"]["person"] == "author@luma.example"
