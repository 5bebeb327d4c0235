"""A person's own access keys."""

from __future__ import annotations

from uuid import uuid4

from app.auth.last_use import LastUse, Used
from app.tenancy.access_keys import hash_of
from tests.gateway.conftest import Stack

KEYS = "/v1/viewer/access-keys"


async def test_a_key_is_shown_once_and_ends_when_it_is_withdrawn(stack: Stack) -> None:
    own = {"authorization": f"Bearer {stack.key('viewer')}"}
    made = await stack.http.post(KEYS, json={"label": "laptop", "lifetimeDays": 30}, headers=own)
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    new = {"authorization": f"Bearer {made.json()['accessKey']}"}
    assert (await stack.http.get("/v1/viewer", headers=new)).json()["name"].startswith("viewer@")
    listed = await stack.http.get(KEYS, headers=new)
    assert made.json()["accessKey"] not in listed.text
    assert [one["label"] for one in listed.json()["accessKeys"]] == ["laptop", "first key"]
    assert (await stack.http.delete(f"{KEYS}/{made.json()['id']}", headers=own)).status_code == 204
    assert (await stack.http.get("/v1/viewer", headers=new)).status_code == 401
    assert (await stack.http.delete(f"{KEYS}/{made.json()['id']}", headers=own)).status_code == 404
    events = await stack.http.get("/v1/audit-events", headers={"authorization": f"Bearer {stack.key('admin')}"})
    actions = [event["action"] for event in events.json()["events"][:2]]
    assert actions == ["tenant:access_key:revoke", "tenant:access_key:issue"]
    assert made.json()["accessKey"] not in events.text


async def test_nobody_reaches_the_keys_of_others(stack: Stack) -> None:
    viewer = {"authorization": f"Bearer {stack.key('viewer')}"}
    made = await stack.http.post(KEYS, json={"label": "laptop"}, headers=viewer)
    author = {"authorization": f"Bearer {stack.key('author')}"}
    for key_id in (made.json()["id"], str(uuid4()), "no-id"):
        assert (await stack.http.delete(f"{KEYS}/{key_id}", headers=author)).status_code == 404
    listed = await stack.http.get(KEYS, headers=author)
    assert made.json()["id"] not in listed.text
    integration = {"authorization": f"Bearer {await stack.token()}"}
    assert (await stack.http.get(KEYS, headers=integration)).status_code == 403
    assert (await stack.http.post(KEYS, json={"label": "x"}, headers=integration)).status_code == 403


async def test_what_a_key_may_not_be(stack: Stack) -> None:
    own = {"authorization": f"Bearer {stack.key('viewer')}"}
    wrong: list[dict[str, object]] = [
        {},
        {"label": ""},
        {"label": "x" * 101},
        {"label": "a\nb"},
        {"label": 7},
        {"label": "x", "lifetimeDays": 0},
        {"label": "x", "lifetimeDays": 367},
        {"label": "x", "lifetimeDays": True},
        {"label": "x", "lifetimeDays": None},
    ]
    for body in wrong:
        reply = await stack.http.post(KEYS, json=body, headers=own)
        assert (reply.status_code, reply.json()["code"]) == (400, "INVALID_REQUEST"), body
    assert len((await stack.http.get(KEYS, headers=own)).json()["accessKeys"]) == 1


async def test_last_use_is_written_later_and_never_backwards(stack: Stack) -> None:
    own = {"authorization": f"Bearer {stack.key('viewer')}"}
    before = (await stack.http.get(KEYS, headers=own)).json()["accessKeys"][0]
    assert before["lastUsedAt"] is None  # uses are gathered; no request writes one
    async with stack.gateway.database.lookup(hash_of(stack.key("viewer")).hex()) as directory:
        row = await directory.access_key(hash_of(stack.key("viewer")))
    assert row is not None
    last_use = LastUse(stack.gateway.database)
    for at in (row.created_at.replace(microsecond=9), row.created_at.replace(microsecond=3)):
        last_use.note(Used.ACCESS_KEY, row.tenant_id, row.id, at)
        await last_use.flush()
    after = (await stack.http.get(KEYS, headers=own)).json()["accessKeys"][0]
    assert after["lastUsedAt"] == row.created_at.replace(microsecond=9).isoformat()
