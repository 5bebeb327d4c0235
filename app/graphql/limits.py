"""What a document may cost. Everything here is decided before anything is validated or runs.

Tokens bound the work of parsing; depth, fields, aliases and root fields bound that of validating and executing. Fields
are counted as they would run: a fragment that is spread five times counts five times. Each fragment is measured once
all the same, so that a document made to be expensive is cheap to refuse.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphql import DocumentNode, FieldNode, FragmentDefinitionNode, FragmentSpreadNode, GraphQLError, Node
from graphql.language import InlineFragmentNode, OperationDefinitionNode, SelectionSetNode, StringValueNode, visit
from graphql.language import Visitor as SyntaxVisitor

MAX_TOKENS = 4_000
MAX_DEPTH = 15
MAX_ALIASES = 60
MAX_ROOT_FIELDS = 20
MAX_FIELDS = 3_000
MAX_FRAGMENTS = 100  # one may lead to the next, and everything that walks a document is recursive

TOO_EXPENSIVE = "DOCUMENT_TOO_EXPENSIVE"


@dataclass(frozen=True, slots=True)
class Measure:
    """What a selection comes to: levels below it, fields in all, aliases among them, and fields at its own level."""

    depth: int = 0
    fields: int = 0
    aliases: int = 0
    roots: int = 0

    def beside(self, other: Measure) -> Measure:
        """Return the measure of two selections next to each other."""
        return Measure(
            max(self.depth, other.depth),
            self.fields + other.fields,
            self.aliases + other.aliases,
            self.roots + other.roots,
        )


def refuse_expensive(document: DocumentNode) -> None:
    """Raise `GraphQLError` for a document over a limit, or with a text that the database cannot hold.

    Fragment cycles count as too deep.
    """
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    _check("fragments", len(fragments), MAX_FRAGMENTS, document)
    meter = _Meter(fragments)
    for operation in document.definitions:
        if isinstance(operation, OperationDefinitionNode):
            measure = meter.measure(operation.selection_set)
            _check("levels of depth", measure.depth, MAX_DEPTH, operation)
            _check("root fields", measure.roots, MAX_ROOT_FIELDS, operation)
            _check("fields", measure.fields, MAX_FIELDS, operation)
            _check("aliases", measure.aliases, MAX_ALIASES, operation)
    visit(document, _RefuseNUL())


def has_nul(value: object) -> bool:
    """Return whether a JSON value has the character NUL in a text, which PostgreSQL cannot hold."""
    match value:
        case str():
            return "\0" in value
        case dict():
            return any(has_nul(name) or has_nul(member) for name, member in value.items())
        case list():
            return any(has_nul(member) for member in value)
    return False


class _Meter:
    def __init__(self, fragments: dict[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._measured: dict[str, Measure] = {}
        self._open: set[str] = set()

    def measure(self, selection: SelectionSetNode) -> Measure:
        total = Measure()
        for node in selection.selections:
            if isinstance(node, FieldNode):
                total = total.beside(self._field(node))
            elif isinstance(node, InlineFragmentNode):
                total = total.beside(self.measure(node.selection_set))
            elif isinstance(node, FragmentSpreadNode) and node.name.value in self._fragments:
                total = total.beside(self._fragment(node.name.value))
        return total

    def _field(self, node: FieldNode) -> Measure:
        inner = self.measure(node.selection_set) if node.selection_set else Measure()
        return Measure(inner.depth + 1, inner.fields + 1, inner.aliases + (node.alias is not None), roots=1)

    def _fragment(self, name: str) -> Measure:
        if name in self._open:
            return Measure(depth=MAX_DEPTH + 1)
        if name not in self._measured:
            self._open.add(name)
            self._measured[name] = self.measure(self._fragments[name].selection_set)
            self._open.discard(name)
        return self._measured[name]


class _RefuseNUL(SyntaxVisitor):
    """Looks at the texts that stand in the document itself; variables are looked at when they are read."""

    def enter_string_value(self, node: StringValueNode, *_rest: object) -> None:
        if has_nul(node.value):
            raise GraphQLError("A text has the character NUL in it.", node, extensions={"code": "INVALID_REQUEST"})


def _check(what: str, found: int, limit: int, node: Node) -> None:
    if found > limit:
        raise GraphQLError(f"The document has more than {limit} {what}.", node, extensions={"code": TOO_EXPENSIVE})
