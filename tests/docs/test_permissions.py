"""Every call that there is has an entry in the table of permissions, and the table has nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import strawberry
import typer
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from app.cli import cli
from app.console.app import console_routes
from app.console.sign_in import sign_in_routes
from app.errors import Forbidden
from app.graphql.app import graphql_routes
from app.graphql.schema import refuse_unlisted, schema
from app.main import _operations_routes
from app.rest.app import facade_routes, v1_routes
from app.rest.ims import ims_routes
from app.rest.plumbing import Routes
from app.rest.problems import problem_error
from app.services.permissions import CALLS, LOCAL, OPERATOR, PUBLIC, REQUIRED
from tests.permissions_page import PAGE, calls_of, page_with_table


class _Anything:
    """Stands for the services: routes only keep what they are given until a request comes."""

    def __getattr__(self, _name: str) -> Any:
        return _Anything()


def fields() -> Iterator[str]:
    built = schema._schema
    for root in (built.query_type, built.mutation_type, built.subscription_type):
        yield from (f"{root.name}.{name}" for name in root.fields) if root else ()


def routes() -> list[str]:
    services: Any = _Anything()
    found: list[BaseRoute] = [
        *console_routes(),
        *sign_in_routes(services, services),
        *graphql_routes(services),
        *facade_routes(services),
        *v1_routes(services, services),
        *ims_routes(services),
        *_operations_routes(services, services),
    ]
    return calls_of(found)


def commands() -> Iterator[str]:
    def walk(command: Any, path: str) -> Iterator[str]:
        subcommands = getattr(command, "commands", None)
        if subcommands is None:
            yield path
        for name, sub in (subcommands or {}).items():
            yield from walk(sub, f"{path} {name}")

    yield from walk(typer.main.get_command(cli), "segment-gateway")


def test_every_call_has_an_entry_and_every_entry_is_a_call() -> None:
    assert {*fields(), *routes(), *commands()} == set(CALLS)


def test_every_entry_names_an_operation_that_is_known() -> None:
    assert set(CALLS.values()) <= set(REQUIRED) | {PUBLIC, OPERATOR, LOCAL}


def test_the_page_has_the_table_of_the_code() -> None:
    page = PAGE.read_text()
    assert page == page_with_table(page), "run `make permissions`"


async def test_a_field_without_an_entry_refuses_everybody() -> None:
    @strawberry.type
    class Query:
        @strawberry.field
        def something_new(self) -> str:
            return "leaked"

    built = strawberry.Schema(Query)
    refuse_unlisted(built._schema)
    result = await built.execute("{ somethingNew }")
    assert result.data is None
    assert isinstance((result.errors or [])[0].original_error, Forbidden)


async def test_a_route_without_an_entry_refuses_everybody() -> None:
    async def leak(*_: Any) -> Any:
        raise AssertionError("the handler of an unlisted route ran")

    added = Routes(problem_error, leak)
    added.add("GET", "/v1/something-new", leak)
    transport = httpx.ASGITransport(Starlette(routes=added.routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as client:
        assert (await client.get("/v1/something-new")).status_code == 403


@pytest.mark.parametrize("operation", sorted(set(REQUIRED)))
def test_every_change_needs_a_permission(operation: str) -> None:
    verb, _, subject = operation.partition("_")
    # What a person changes of his own credentials is his business; it gives him no right that he has not.
    if not subject.startswith("own_") and verb in {
        "create",
        "update",
        "replace",
        "delete",
        "cancel",
        "add",
        "remove",
        "trigger",
        "issue",
        "revoke",
    }:
        assert REQUIRED[operation]
