"""Signing in by browser, through the provider's own pages, and what the session is good for."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.audit.recorder import AuditRecorder
from app.auth.last_use import LastUse
from app.auth.sessions import SessionEnded, Sessions
from app.context import Actor, ActorKind
from app.errors import NotFound
from app.upstream.openid import OpenIDClient
from tests.factories import make_tenant
from tests.sign_in.conftest import GATEWAY, OTHER_CLIENT_ID, PUBLIC_CLIENT_ID, Provider, Served, description

COOKIE = "segment_gateway_session"
OURS = {"sec-fetch-site": "same-origin"}
VIEWER = {"query": "{ viewer { name permissions } }"}


@pytest.fixture
async def browser() -> AsyncIterator[httpx.AsyncClient]:
    """A browser at the provider; its cookies there are none of the gateway's."""
    async with httpx.AsyncClient() as browser:
        yield browser


async def leave(served: Served, return_to: str = "/graphql") -> str:
    """Go to the log-in page, choose the provider, and return where the gateway sends the browser."""
    page = await served.http.get("/login", params={"tenant": "luma", "return_to": return_to})
    link = re.search(r'href="(/login\?[^"]+)"', page.text)
    assert link, page.text
    reply = await served.http.get(link[1].replace("&amp;", "&"))
    assert reply.status_code == 302
    return reply.headers["location"]


async def signed_in(served: Served, provider: Provider, browser: httpx.AsyncClient, person: str = "ann") -> str:
    """Sign in and return the session's token."""
    back = await provider.sign_in(await leave(served), person, browser)
    reply = await served.http.get(back)
    assert reply.status_code == 303, reply.text
    return served.http.cookies[COOKIE]


async def ask(served: Served, **headers: str) -> httpx.Response:
    return await served.http.post("/graphql", json=VIEWER, headers=headers)


async def test_a_person_signs_in_and_acts_under_his_name(
    served: Served, provider: Provider, browser: httpx.AsyncClient
) -> None:
    assert (await served.http.get("/session")).json() == {"person": None}
    assert (await ask(served, **OURS)).status_code == 401
    back = await provider.sign_in(await leave(served, "/v1/viewer"), "ann", browser)
    reply = await served.http.get(back)
    assert (reply.status_code, reply.headers["location"]) == (303, "/v1/viewer")
    # The address and the groups come from the provider's userinfo, which is about the same subject.
    viewer = (await ask(served, **OURS)).json()["data"]["viewer"]
    assert viewer == {"name": "ann@luma.example", "permissions": ["Manage Segments", "View Segments"]}
    assert (await served.http.get("/session")).json() == {"person": {"name": "ann@luma.example"}}


async def test_cookies_are_out_of_reach_of_scripts_and_other_sites(
    served: Served, provider: Provider, browser: httpx.AsyncClient
) -> None:
    back = await provider.sign_in(await leave(served), "ann", browser)
    reply = await served.http.get(back)
    session = next(line for line in reply.headers.get_list("set-cookie") if line.startswith(f"{COOKIE}="))
    for attribute in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age=43200"):
        assert attribute in session
    assert "Domain" not in session
    assert "Secure" not in session
    secure = await served.http.get(f"https://gateway.test/login{httpx.URL(await _link(served)).raw_path.decode()[6:]}")
    line = secure.headers["set-cookie"]
    assert line.startswith("__Host-")
    assert "Secure" in line


async def _link(served: Served) -> str:
    page = await served.http.get("/login", params={"tenant": "luma"})
    return re.findall(r'href="(/login\?[^"]+)"', page.text)[0].replace("&amp;", "&")


async def test_a_session_serves_only_pages_of_this_gateway(
    served: Served, provider: Provider, browser: httpx.AsyncClient
) -> None:
    await signed_in(served, provider, browser)
    refused: list[dict[str, str]] = [
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "cross-site", "origin": GATEWAY},
        {"origin": "https://elsewhere.example"},
        {"origin": "null"},
    ]
    for headers in refused:
        reply = await ask(served, **headers)
        assert (reply.status_code, reply.json()["errors"][0]["extensions"]["code"]) == (403, "CROSS_SITE_REQUEST")
    assert (await ask(served, origin=GATEWAY)).status_code == 200
    assert (await served.http.post("/logout")).status_code == 403
    # AEP's own paths are for programs.
    assert (await served.http.get("/data/core/ups/segment/definitions", headers=OURS)).status_code == 403


async def test_signing_out_ends_the_session_and_not_only_the_cookie(
    served: Served, provider: Provider, browser: httpx.AsyncClient
) -> None:
    token = await signed_in(served, provider, browser)
    assert (await served.http.post("/logout", headers=OURS)).status_code == 204
    assert COOKIE not in served.http.cookies
    served.http.cookies.set(COOKIE, token)
    reply = await ask(served, **OURS)
    assert (reply.status_code, reply.json()["errors"][0]["extensions"]["code"]) == (401, "SESSION_ENDED")


async def test_signing_in_again_leaves_no_old_session(
    served: Served, provider: Provider, browser: httpx.AsyncClient
) -> None:
    first = await signed_in(served, provider, browser)
    second = await signed_in(served, provider, browser)
    assert first != second
    served.http.cookies.set(COOKIE, first, domain="gateway.test")
    served.http.cookies.delete(COOKIE)
    assert (await ask(served, cookie=f"{COOKIE}={first}", **OURS)).status_code == 401
    assert (await ask(served, cookie=f"{COOKIE}={second}", **OURS)).status_code == 200


async def test_a_code_is_good_once(served: Served, provider: Provider, browser: httpx.AsyncClient) -> None:
    back = await provider.sign_in(await leave(served), "ann", browser)
    attempt = served.http.cookies["segment_gateway_sign_in"]
    assert (await served.http.get(back)).status_code == 303
    again = await served.http.get(back, headers={"cookie": f"segment_gateway_sign_in={attempt}"})
    assert (again.status_code, "Signing in failed" in again.text) == (400, True)


async def test_an_answer_that_was_not_asked_for_is_refused(
    served: Served, provider: Provider, browser: httpx.AsyncClient
) -> None:
    url = httpx.URL(await leave(served))
    back = httpx.URL(await provider.sign_in(str(url), "ann", browser))
    wrong = [
        back.copy_set_param("state", "x" * 43),
        back.copy_remove_param("state"),
        back.copy_remove_param("code"),
        back.copy_set_param("code", "made-up"),
        back.copy_set_param("iss", "https://elsewhere.example"),
        httpx.URL(f"{GATEWAY}/callback?error=access_denied&state={back.params['state']}"),
    ]
    for answer in wrong:
        reply = await served.http.get(answer)
        assert (reply.status_code, COOKIE in served.http.cookies) == (400, False), answer
    attempt = served.http.cookies["segment_gateway_sign_in"]
    served.http.cookies.clear()
    for cookie in ("", attempt[:-4] + "AAAA", "é"):
        headers = [(b"cookie", f"segment_gateway_sign_in={cookie}".encode("latin-1"))]
        assert (await served.http.get(back, headers=headers)).status_code == 400
    # With everything as it was, the same answer is taken: nothing above was refused for another reason.
    assert (await served.http.get(back, headers={"cookie": f"segment_gateway_sign_in={attempt}"})).status_code == 303


async def test_another_nonce_in_the_token_is_refused(
    served: Served, provider: Provider, browser: httpx.AsyncClient
) -> None:
    changed = httpx.URL(await leave(served)).copy_set_param("nonce", "another one")
    back = await provider.sign_in(str(changed), "ann", browser)
    assert (await served.http.get(back)).status_code == 400
    assert COOKIE not in served.http.cookies


async def test_a_code_of_another_client_or_another_verifier_is_refused(
    served: Served, provider: Provider, browser: httpx.AsyncClient
) -> None:
    url = httpx.URL(await leave(served))
    for name, value in (("client_id", OTHER_CLIENT_ID), ("code_challenge", "A" * 43)):
        back = await provider.sign_in(str(url.copy_set_param(name, value)), "ann", browser)
        assert (await served.http.get(back)).status_code == 400


async def test_the_log_in_page_tells_nothing_of_other_organizations(served: Served, provider: Provider) -> None:
    await make_tenant(served.gateway.database, "quiet")
    pages = [await served.http.get("/login", params={"tenant": name}) for name in ("quiet", "nobody")]
    assert [page.status_code for page in pages] == [404, 404]
    assert pages[0].text == pages[1].text
    attack = await served.http.get("/login", params={"tenant": '"><script>', "return_to": '"><script>'})
    assert "<script" not in attack.text
    page = await served.http.get("/login")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"


async def test_nobody_is_sent_elsewhere_after_signing_in(
    served: Served, provider: Provider, browser: httpx.AsyncClient
) -> None:
    for elsewhere in ("https://elsewhere.example", "//elsewhere.example", "/\\elsewhere.example", "/\t/x", "x"):
        back = await provider.sign_in(await leave(served, elsewhere), "bob", browser)
        assert (await served.http.get(back)).headers["location"] == "/graphql", elsewhere


async def test_a_client_without_a_secret_signs_people_in(
    served: Served, provider: Provider, browser: httpx.AsyncClient
) -> None:
    public = replace(description(provider), client_id=PUBLIC_CLIENT_ID, client_secret=None)
    await served.trust.trust(served.luma.id, public)
    await signed_in(served, provider, browser)
    assert (await ask(served, **OURS)).status_code == 200


async def test_what_is_said_of_another_subject_is_not_believed(
    served: Served, provider: Provider, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def of_bob(*_: Any) -> dict[str, Any]:
        return {"sub": "bob", "email": "bob@luma.example", "email_verified": True, "groups": ["marketing"]}

    monkeypatch.setattr(OpenIDClient, "userinfo", of_bob)
    await signed_in(served, provider, browser)
    viewer = (await ask(served, **OURS)).json()["data"]["viewer"]
    assert viewer == {"name": f"ann at {provider.issuer}", "permissions": []}


async def test_withdrawing_trust_ends_sessions_and_tokens(
    served: Served, provider: Provider, browser: httpx.AsyncClient
) -> None:
    token = await provider.id_token("ann")
    assert (await served.viewer(token)).status_code == 200
    await signed_in(served, provider, browser)
    on_the_way = await provider.sign_in(await leave(served), "ann", browser)
    assert await served.trust.withdraw(served.luma.id, provider.issuer) == 1
    assert (await ask(served, **OURS)).status_code == 401
    assert (await served.viewer(token)).status_code == 401
    assert (await served.http.get(on_the_way)).status_code == 400
    assert (await served.http.get("/login", params={"tenant": "luma"})).status_code == 404
    with pytest.raises(NotFound):
        await served.trust.withdraw(served.luma.id, provider.issuer)
    await served.trust.trust(served.luma.id, description(provider))
    assert (await served.viewer(token)).status_code == 200


async def test_a_session_ends_by_itself(served: Served) -> None:
    database, now = served.gateway.database, [datetime(2026, 1, 1, tzinfo=UTC)]
    person = await _person(served)
    last_use = LastUse(database)
    sessions = Sessions(database, AuditRecorder(), last_use, idle_s=600, lifetime_s=3600, clock=lambda: now[0])
    token = (await sessions.open(person, "request")).token
    for _ in range(6):
        now[0] += timedelta(seconds=599)
        assert (await sessions.actor(token)).id == person.id
        await last_use.flush()
    now[0] += timedelta(seconds=6)  # the hour is over, whatever the use
    with pytest.raises(SessionEnded):
        await sessions.actor(token)
    idle = (await sessions.open(person, "request")).token
    now[0] += timedelta(seconds=600)
    with pytest.raises(SessionEnded):
        await sessions.actor(idle)


async def test_a_disabled_person_has_no_session(served: Served, provider: Provider, browser: httpx.AsyncClient) -> None:
    await signed_in(served, provider, browser)
    async with served.gateway.database.write(served.luma.id) as unit:
        person = await unit.identity_providers.person(provider.issuer, "ann")
        assert person is not None
        person.disabled_at = datetime.now(UTC)
    assert (await ask(served, **OURS)).status_code == 401
    back = await provider.sign_in(await leave(served), "ann", browser)
    assert (await served.http.get(back)).status_code == 400


async def test_a_provider_that_is_away_is_said_to_be_away(served: Served, provider: Provider) -> None:
    gone = await make_tenant(served.gateway.database, "gone")
    await gone.administration.create_product_profile(gone.id, "Authors", [])
    await served.trust.trust(gone.id, description(Provider("http://127.0.0.1:9", provider.keys)))
    page = await served.http.get("/login", params={"tenant": "gone"})
    link = re.findall(r'href="(/login\?[^"]+)"', page.text)[0].replace("&amp;", "&")
    assert (await served.http.get(link)).status_code == 503


async def _person(served: Served) -> Actor:
    async with served.gateway.database.write(served.luma.id) as unit:
        await unit.identity_providers.add_person("zoe@luma.example", "https://login.example", "zoe")
        row = await unit.identity_providers.person("https://login.example", "zoe")
    assert row is not None
    return Actor(ActorKind.PERSON, row.id, row.email, served.luma.id, row.issuer, row.subject)
