"""The doctor and the canary, over a running gateway, well and ill."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

import asyncpg
import pytest

from app.store.database import Database
from app.telemetry import Metrics
from app.tenancy.canary import CANARY_ID, Canary
from tests.factories import make_tenant
from tests.gateway.conftest import Stack


async def doctor(stack: Stack, database_url: str) -> tuple[int, dict[str, dict[str, str]]]:
    environment = {"DATABASE_URL": database_url, "SEGMENT_GATEWAY_STATE_DIR": str(stack.state_dir)}
    command = [sys.executable, "-m", "app.cli", "doctor", "--json"]
    done = await asyncio.to_thread(
        subprocess.run, command, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    return done.returncode, {one["step"]: one for one in json.loads(done.stdout)["steps"]}


async def test_the_doctor_finds_a_gateway_in_order_and_then_each_illness(
    stack: Stack, database_url: str, owner_url: str
) -> None:
    code, steps = await doctor(stack, database_url)
    assert {name: one["detail"] for name, one in steps.items() if one["result"] != "ok"} == {}
    assert code == 0
    assert len(steps) == 7
    connection = await asyncpg.connect(owner_url)
    try:
        await connection.execute("DROP POLICY tenant ON people; CREATE POLICY tenant ON people USING (true)")
        await connection.execute("UPDATE tenants SET ims_url = 'http://127.0.0.1:1' WHERE slug = 'luma'")
        await connection.execute("UPDATE tenant_credentials SET sealed_secret = '\\x01ffffffffffffffff00'")
        await connection.execute("ALTER TABLE audit_events DISABLE TRIGGER USER")
        await connection.execute("UPDATE audit_events SET actor_name = 'somebody else' WHERE sequence = 3")
    finally:
        await connection.close()
    code, steps = await doctor(stack, database_url)
    ill = {name for name, one in steps.items() if one["result"] == "failed"}
    assert code == 1
    assert {"isolation", "keys", "audit chain", "Adobe and clock"} <= ill
    assert all(steps[name]["cure"] for name in ill)
    assert "people" in steps["isolation"]["detail"]


@pytest.mark.parametrize("table", ["sandboxes", "product_profiles"])
async def test_the_canary_is_seen_when_a_policy_is_gone(database: Database, owner_url: str, table: str) -> None:
    for slug in ("luma", "other"):
        made = await make_tenant(database, slug)
        await made.administration.create_product_profile(made.id, "Viewers", [])
    metrics = Metrics()
    canary = Canary(database, metrics)
    assert await canary.look() == []
    connection = await asyncpg.connect(owner_url)
    try:
        await connection.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        await connection.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    finally:
        await connection.close()
    assert await canary.look() == [table]
    assert metrics.registry.get_sample_value("gateway_isolation_breaches_total", {"table": table}) == 1


async def test_processes_that_plant_at_once_plant_one_canary(database: Database) -> None:
    await make_tenant(database)
    assert await asyncio.gather(*(Canary(database).look() for _ in range(4))) == [[]] * 4
    async with database.read(CANARY_ID) as unit:
        assert len(await unit.tenancy.sandboxes()) == 1
