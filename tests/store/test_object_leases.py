"""Leases: one holder at a time, and never for longer than was asked for."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

from app.store.database import Database
from tests.factories import MadeTenant, make_tenant


async def take(database: Database, tenant: MadeTenant, holder: UUID, *, lease_s: float = 60) -> bool:
    async with database.write(tenant.id) as unit:
        return await unit.object_leases.take(tenant.sandbox.id, "x", holder, lease_s=lease_s)


async def test_a_lease_has_one_holder_who_may_renew_it(database: Database) -> None:
    luma, other = await make_tenant(database), await make_tenant(database, "other")
    taken = await asyncio.gather(*(take(database, luma, uuid4()) for _ in range(4)))
    assert sorted(taken) == [False, False, False, True]
    holder = uuid4()
    assert await take(database, other, holder), "another organization's object"
    assert await take(database, other, holder)
    async with database.write(other.id) as unit:
        await unit.object_leases.release(holder)
    assert await take(database, other, uuid4())


async def test_a_lease_ends_by_itself(database: Database) -> None:
    luma = await make_tenant(database)
    assert await take(database, luma, uuid4(), lease_s=0)
    assert await take(database, luma, uuid4())
