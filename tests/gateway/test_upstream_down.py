"""The gateway while AEP is away: it starts, serves what it has, says so, and recovers by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.gateway.conftest import Emulator, Stack, free_port, running_stack
from tests.gateway.test_writes import CREATE, create, unique

LIST = "{ segmentDefinitions { nodes { name } cache { stale reason syncedAt } } }"


@pytest.fixture
def own_emulator(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    """An emulator of this test's own that is not running yet, with organizations that are known already."""
    state_dir = tmp_path_factory.mktemp("own")
    (state_dir / "organizations.json").write_bytes((emulator.state_dir / "organizations.json").read_bytes())
    return Emulator(state_dir, free_port())


async def _until(stack: Stack, stale: bool) -> dict[str, object]:
    for _ in range(400):
        found = (await stack.graphql(LIST))["data"]["segmentDefinitions"]
        if found["cache"]["stale"] is stale:
            return dict(found)
        await asyncio.sleep(0.05)
    raise AssertionError(f"the cache never became stale={stale}")


async def test_the_gateway_starts_without_aep_and_recovers(
    own_emulator: Emulator, database_url: str, tmp_path: Path
) -> None:
    async with running_stack(own_emulator, database_url, tmp_path) as stack:
        found = await _until(stack, stale=True)
        assert found["nodes"] == []
        refused = await stack.graphql(CREATE, {"input": {"name": "x", "expression": 'person.gender = "female"'}})
        assert refused["errors"][0]["extensions"]["code"] == "UPSTREAM_UNAVAILABLE"
        await asyncio.to_thread(own_emulator.start)
        try:
            assert (await _until(stack, stale=False))["nodes"] == []
            name = unique("Back")
            assert (await create(stack, name))["userErrors"] == []
            await asyncio.to_thread(own_emulator.stop)
            found = await _until(stack, stale=True)
            assert found["nodes"] == [{"name": name}]
        finally:
            await asyncio.to_thread(own_emulator.stop)


async def test_a_write_that_could_not_be_sent_is_audited_as_failed(
    own_emulator: Emulator, database_url: str, tmp_path: Path
) -> None:
    async with running_stack(own_emulator, database_url, tmp_path) as stack:
        await stack.graphql(CREATE, {"input": {"name": "Lost", "expression": 'person.gender = "female"'}})
        audit = await stack.graphql(
            '{ auditEvents(filter: {action: "sandbox:segment_definition:create"}) { nodes { phase } } }'
        )
        assert audit["data"]["auditEvents"]["nodes"] == [{"phase": "FAILED"}]


async def test_what_is_made_behind_the_gateway_appears_by_itself(stack: Stack) -> None:
    name = unique("Behind")
    body = {
        "name": name,
        "expression": {"type": "PQL", "format": "pql/text", "value": 'person.gender = "female"'},
        "schema": {"name": "_xdm.context.profile"},
    }
    made = (await stack.upstream("POST", "/data/core/ups/segment/definitions", json=body)).json()
    query = "query ($id: String!) { segmentDefinition(aepId: $id) { name createdBy { source person } } }"
    found = None
    for _ in range(200):
        found = (await stack.graphql(query, {"id": made["id"]}))["data"]["segmentDefinition"]
        if found:
            break
        await asyncio.sleep(0.05)
    assert found == {"name": name, "createdBy": {"source": "UPSTREAM", "person": None}}
    await stack.upstream("DELETE", f"/data/core/ups/segment/definitions/{made['id']}")
    for _ in range(200):
        if (await stack.graphql(query, {"id": made["id"]}))["data"]["segmentDefinition"] is None:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the deleted definition stayed in the cache")
