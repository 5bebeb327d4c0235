"""What a document may cost. Everything here is decided before anything runs.

Tokens bound the work of parsing; depth, aliases and root fields bound that of validating and executing.
"""

from __future__ import annotations

from collections.abc import Iterator

from graphql import DocumentNode, FieldNode, FragmentDefinitionNode, FragmentSpreadNode, GraphQLError, Node
from graphql.language import InlineFragmentNode, OperationDefinitionNode, SelectionSetNode

MAX_TOKENS = 4_000
MAX_DEPTH = 15
MAX_ALIASES = 60
MAX_ROOT_FIELDS = 20
MAX_FIELDS = 3_000


def refuse_expensive(document: DocumentNode) -> None:
    """Raise `GraphQLError` for a document over a limit. Fragment cycles count as too deep."""
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    for operation in document.definitions:
        if isinstance(operation, OperationDefinitionNode):
            _Measure(fragments).operation(operation)


class _Measure:
    """Counts what one operation selects, with its fragments written out."""

    def __init__(self, fragments: dict[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._aliases = 0
        self._fields = 0

    def operation(self, operation: OperationDefinitionNode) -> None:
        roots = sum(1 for _ in self._selected(operation.selection_set, 1))
        self._check("root fields", roots, MAX_ROOT_FIELDS, operation)
        self._walk(operation.selection_set, 1)

    def _walk(self, selection: SelectionSetNode, depth: int) -> None:
        self._check("levels of depth", depth, MAX_DEPTH, selection)
        for field in self._selected(selection, depth):
            self._fields += 1
            self._check("fields", self._fields, MAX_FIELDS, field)
            if field.alias is not None:
                self._aliases += 1
                self._check("aliases", self._aliases, MAX_ALIASES, field)
            if field.selection_set is not None:
                self._walk(field.selection_set, depth + 1)

    def _selected(self, selection: SelectionSetNode, depth: int) -> Iterator[FieldNode]:
        """Yield the fields of a selection; fragments nested deeper than ``MAX_DEPTH`` are refused."""
        self._check("levels of depth", depth, MAX_DEPTH, selection)
        for node in selection.selections:
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                yield from self._selected(node.selection_set, depth + 1)
            elif isinstance(node, FragmentSpreadNode) and node.name.value in self._fragments:
                yield from self._selected(self._fragments[node.name.value].selection_set, depth + 1)

    @staticmethod
    def _check(what: str, found: int, limit: int, node: Node) -> None:
        if found > limit:
            raise GraphQLError(
                f"The document has more than {limit} {what}.", node, extensions={"code": "DOCUMENT_TOO_EXPENSIVE"}
            )
