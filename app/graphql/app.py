"""GraphQL over HTTP: reading the request, running it within limits, and answering in the media type that was asked for.

Source: the GraphQL-over-HTTP specification (working draft of 2025). A client that accepts
``application/graphql-response+json`` gets a status that tells whether the document could be run; one that only knows
``application/json`` gets 200 with errors inside. GET runs queries only, and POST must announce JSON, so a page of
another site cannot make a browser change anything.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import msgspec
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    execute,
    get_operation_ast,
    parse,
    validate,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.aep import bodies
from app.aep import headers as aep_headers
from app.errors import GatewayError, InvalidRequest, MethodNotAllowed, UnsupportedMediaType
from app.graphql.context import GraphQLContext
from app.graphql.errors import error_response, format_error
from app.graphql.limits import MAX_TOKENS, has_nul, refuse_expensive
from app.graphql.media_types import JSON_RESPONSE, media_type_of
from app.graphql.schema import schema
from app.services import Services

CACHED_DOCUMENTS = 1_000
MAX_CACHED_CHARACTERS = 20_000
PATH = "/graphql"


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """What a client asks to be run."""

    query: str
    variables: dict[str, Any]
    operation_name: str | None


class DocumentCache:
    """Documents that were parsed and found valid; the oldest make room for new ones, and long ones are not kept."""

    def __init__(self, size: int = CACHED_DOCUMENTS) -> None:
        self._size = size
        self._documents: OrderedDict[str, DocumentNode] = OrderedDict()

    def valid(self, query: str) -> DocumentNode:
        """Return the parsed document. Raises `DocumentRefused` with everything that is wrong with it."""
        document = self._documents.get(query)
        if document is not None:
            self._documents.move_to_end(query)
            return document
        try:
            document = parse(query, max_tokens=MAX_TOKENS)
            refuse_expensive(document)
        except GraphQLError as problem:
            raise DocumentRefused([problem]) from problem
        if problems := validate(schema._schema, document, max_errors=20):
            raise DocumentRefused(problems)
        if len(query) > MAX_CACHED_CHARACTERS:
            return document
        self._documents[query] = document
        if len(self._documents) > self._size:
            self._documents.popitem(last=False)
        return document


class DocumentRefused(Exception):
    """A document that cannot be run."""

    def __init__(self, problems: list[GraphQLError]) -> None:
        super().__init__(problems[0].message)
        self.problems = problems


class GraphQLView:
    """Answers requests at ``/graphql``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._documents = DocumentCache()

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        try:
            asked = await _read(request)
        except GatewayError as problem:
            return error_response(request, problem)
        try:
            document = self._documents.valid(asked.query)
            operation = _operation(document, asked)
        except DocumentRefused as refusal:
            return self._answer(request, ExecutionResult(None, refusal.problems), ran=False)
        if request.method != "POST" and operation.operation is not OperationType.QUERY:
            response = error_response(request, MethodNotAllowed("GET runs queries only; send mutations with POST."))
            response.headers["allow"] = "POST"
            return response
        return self._answer(request, await self._execute(request, document, asked), ran=True)

    async def _execute(self, request: Request, document: DocumentNode, asked: GraphQLRequest) -> ExecutionResult:
        context = GraphQLContext(request.state.context, self._services)
        result = execute(
            schema._schema,
            document,
            context_value=context,
            variable_values=asked.variables,
            operation_name=asked.operation_name,
        )
        return result if isinstance(result, ExecutionResult) else await result

    @staticmethod
    def _answer(request: Request, result: ExecutionResult, *, ran: bool) -> Response:
        media_type = media_type_of(request)
        body: dict[str, Any] = {}
        if result.errors:
            body["errors"] = [format_error(error, request.state.request_id) for error in result.errors]
        # `data` is absent when nothing ran, and null when what ran failed at its root.
        started = ran and not _failed_before_execution(result)
        if started:
            body["data"] = result.data
        status = 200 if started or media_type == JSON_RESPONSE else 400
        return Response(msgspec.json.encode(body), status, media_type=media_type)


def _failed_before_execution(result: ExecutionResult) -> bool:
    """Variables that do not fit are found by the executor, but before anything runs: such errors have no path."""
    return result.data is None and bool(result.errors) and all(error.path is None for error in result.errors or ())


def _operation(document: DocumentNode, asked: GraphQLRequest) -> OperationDefinitionNode:
    operation = get_operation_ast(document, asked.operation_name)
    if operation is None:
        raise DocumentRefused([GraphQLError("Name the operation to run in operationName: the document has none such.")])
    return operation


async def _read(request: Request) -> GraphQLRequest:
    """Read the request. Raises `InvalidRequest` or `UnsupportedMediaType`."""
    if request.method == "POST":
        if not aep_headers.is_json(request.headers.get("content-type")):
            raise UnsupportedMediaType("A POST must announce its body as application/json.")
        given = bodies.read_json(await request.body())
    else:
        given = _from_query(request)
    if not isinstance(given, dict):
        raise InvalidRequest("The body must be one JSON object with a query; batches are not served.")
    return _checked(given)


def _from_query(request: Request) -> dict[str, Any]:
    parameters = request.query_params
    given: dict[str, Any] = {"query": parameters.get("query"), "operationName": parameters.get("operationName")}
    if parameters.get("variables"):
        try:
            given["variables"] = msgspec.json.decode(parameters["variables"])
        except (msgspec.DecodeError, RecursionError):
            raise InvalidRequest("variables must be a JSON object.", path=("variables",)) from None
    return given


def _checked(given: dict[str, Any]) -> GraphQLRequest:
    query, variables, operation_name = given.get("query"), given.get("variables"), given.get("operationName")
    if not isinstance(query, str) or not query.strip():
        raise InvalidRequest("query must be a GraphQL document.", path=("query",))
    if variables is not None and not isinstance(variables, dict):
        raise InvalidRequest("variables must be a JSON object.", path=("variables",))
    if operation_name is not None and not isinstance(operation_name, str):
        raise InvalidRequest("operationName must be a text.", path=("operationName",))
    if not isinstance(given.get("extensions"), dict | None):
        raise InvalidRequest("extensions must be a JSON object.", path=("extensions",))
    if _has_nul(variables):
        raise InvalidRequest("A text in variables has the character NUL in it.", path=("variables",))
    return GraphQLRequest(query, variables or {}, operation_name or None)


def _has_nul(variables: dict[str, Any] | None) -> bool:
    try:
        return has_nul(variables)
    except RecursionError:
        raise InvalidRequest("variables are nested too deeply.", path=("variables",)) from None


def graphql_routes(services: Services) -> list[Route]:
    """Return the GraphQL endpoint."""
    return [Route(PATH, GraphQLView(services).answer, methods=["GET", "POST"])]
