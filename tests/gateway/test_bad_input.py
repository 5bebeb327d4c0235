"""What callers get wrong, and the shape in which they are told."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.gateway.conftest import Stack

DEFINITIONS = "/data/core/ups/segment/definitions"


async def test_every_entrance_refuses_anonymous_callers_in_its_own_shape(stack: Stack) -> None:
    facade = await stack.http.get(DEFINITIONS)
    assert (facade.status_code, facade.json()) == (
        403,
        {"error_code": "403010", "message": "Oauth token is missing."},
    )
    graphql = await stack.http.post("/graphql", json={"query": "{ viewer { name } }"})
    assert graphql.status_code == 401
    assert graphql.json()["errors"][0]["extensions"]["code"] == "MISSING_TOKEN"
    rest = await stack.http.get("/v1/viewer")
    assert rest.status_code == 401
    assert rest.headers["content-type"] == "application/problem+json"
    assert rest.json()["code"] == "MISSING_TOKEN"


async def test_a_path_that_only_begins_like_an_entrance_is_told_in_our_own_shape(stack: Stack) -> None:
    reply = await stack.http.get("/database")
    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/problem+json"


async def test_a_wrong_token_on_the_facade_is_adobes_401(stack: Stack) -> None:
    reply = await stack.http.get(DEFINITIONS, headers={"authorization": "Bearer nonsense"})
    assert (reply.status_code, reply.json()["error_code"]) == (401, "401013")


async def test_a_wrong_api_key_is_adobes_403003(stack: Stack) -> None:
    reply = await stack.facade("GET", DEFINITIONS, headers={"x-api-key": "somebody-else"})
    assert (reply.status_code, reply.json()["error_code"]) == (403, "403003")


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b"[" * 50_000, "application/json", 400),
        (b"{}", "application/json", 400),
        (b"{}", "text/plain", 400),
        (b" " * 100_001, "application/json", 413),
        (b'{"name": 5, "expression": {}, "schema": []}', "application/json", 400),
    ],
)
async def test_a_bad_body_on_the_facade_is_told_in_aeps_shape(
    stack: Stack, content: bytes, content_type: str, status: int
) -> None:
    reply = await stack.facade("POST", DEFINITIONS, content=content, headers={"content-type": content_type})
    assert reply.status_code == status
    assert reply.json()["status"] == status


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b'"x"', b"{}", b'{"query": 1}', b'{"query": "{ viewer { name } }", "variables": 7}', b"\xff"],
)
async def test_a_bad_graphql_body_is_a_400_with_a_message(stack: Stack, content: bytes) -> None:
    headers = {"authorization": f"Bearer {stack.key('author')}", "content-type": "application/json"}
    reply = await stack.http.post("/graphql", content=content, headers=headers)
    assert reply.status_code == 400
    assert reply.json()["errors"][0]["extensions"]["code"] == "INVALID_REQUEST"


async def test_a_graphql_post_that_is_not_json_is_refused(stack: Stack) -> None:
    headers = {"authorization": f"Bearer {stack.key('author')}", "content-type": "text/plain"}
    reply = await stack.http.post("/graphql", content=b'{"query": "{ viewer { name } }"}', headers=headers)
    assert reply.status_code == 415


async def test_a_mutation_by_get_is_refused(stack: Stack) -> None:
    reply = await stack.http.get(
        "/graphql",
        params={"query": 'mutation { deleteSegmentDefinition(input: {id: "x"}) { userErrors { code } } }'},
        headers={"authorization": f"Bearer {stack.key('author')}"},
    )
    assert reply.status_code == 405


async def test_a_query_by_get_is_answered(stack: Stack) -> None:
    reply = await stack.http.get(
        "/graphql",
        params={"query": "query ($f: Int) { segmentDefinitions(first: $f) { nodes { id } } }", "variables": '{"f": 1}'},
        headers={"authorization": f"Bearer {stack.key('author')}"},
    )
    assert reply.status_code == 200
    assert "errors" not in reply.json()


@pytest.mark.parametrize(
    ("accept", "status"), [("application/graphql-response+json", 400), ("application/json", 200), ("*/*", 200)]
)
async def test_the_status_of_a_refused_document_follows_the_media_type(stack: Stack, accept: str, status: int) -> None:
    headers = {"authorization": f"Bearer {stack.key('author')}", "accept": accept}
    reply = await stack.http.post("/graphql", json={"query": "{ nothing }"}, headers=headers)
    assert reply.status_code == status
    assert "data" not in reply.json()


@pytest.mark.parametrize(
    "query",
    [
        "{ viewer " + "{ tenant " * 20 + "{ slug }" + " }" * 20 + " }",
        "{ " + " ".join(f"a{i}: viewer {{ name }}" for i in range(100)) + " }",
        "{ viewer { " + "name " * 5000 + "} }",
        "fragment F on Viewer { ...F } { viewer { ...F } }",
    ],
)
async def test_expensive_documents_are_refused_before_they_run(stack: Stack, query: str) -> None:
    answer = await stack.graphql(query)
    assert answer["errors"]
    assert "data" not in answer


@pytest.mark.parametrize("arguments", ["first: 0", "first: 5000", "first: 1, last: 1", 'after: "x"', 'after: "é"'])
async def test_bad_page_arguments_are_invalid_requests(stack: Stack, arguments: str) -> None:
    answer = await stack.graphql(f"{{ segmentDefinitions({arguments}) {{ nodes {{ id }} }} }}")
    assert answer["errors"][0]["extensions"]["code"] == "INVALID_REQUEST"


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "page=-1", "sort=name:up", "sort=secret:asc"])
async def test_bad_list_parameters_on_the_facade_are_400(stack: Stack, query: str) -> None:
    reply = await stack.facade("GET", f"{DEFINITIONS}?{query}")
    assert reply.status_code == 400


async def test_an_unknown_sandbox_is_not_found(stack: Stack) -> None:
    reply = await stack.facade("GET", DEFINITIONS, headers={"x-sandbox-name": "nowhere"})
    assert reply.status_code == 404


async def test_unknown_paths_and_methods_answer_in_the_entrances_shape(stack: Stack) -> None:
    assert (await stack.facade("GET", "/data/core/ups/nothing")).json()["status"] == 404
    reply = await stack.facade("PUT", DEFINITIONS)
    assert reply.status_code == 405
    assert (await stack.http.get("/nowhere")).headers["content-type"] == "application/problem+json"


async def test_a_trailing_slash_means_the_same(stack: Stack) -> None:
    assert (await stack.facade("GET", f"{DEFINITIONS}/")).status_code == 200


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "password", "client_id": "x", "client_secret": "y"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials", "client_id": "x", "client_secret": "y"}, "invalid_client"),
    ],
)
async def test_the_token_endpoint_refuses_as_ims_does(stack: Stack, form: dict[str, str], error: str) -> None:
    reply = await stack.http.post("/ims/token/v3", data=form)
    assert (reply.status_code, reply.json()["error"]) == (400, error)


@pytest.mark.parametrize("encoding", ["form", "query", "multipart"])
@pytest.mark.parametrize("version", ["", "/v1", "/v2", "/v3"])
async def test_the_token_endpoint_takes_every_encoding(stack: Stack, encoding: str, version: str) -> None:
    integration = stack.tenants["luma"]["integrations"][0]
    given = {
        "grant_type": "client_credentials",
        "client_id": integration["client_id"],
        "client_secret": integration["client_secret"],
        "scope": "openid, AdobeID",
    }
    sent: dict[str, Any] = {"form": {"data": given}, "query": {"params": given}}.get(
        encoding, {"files": {name: (None, value) for name, value in given.items()}}
    )
    reply: httpx.Response = await stack.http.post(f"/ims/token{version}", **sent)
    assert reply.status_code == 200
    assert reply.json()["token_type"] == "bearer"
