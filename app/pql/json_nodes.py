"""One node of a pql/json tree, with strict access to its keys: a fault names the node type and the place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from app.pql.diagnostics import did_you_mean
from app.pql.json_document import fail, kind_of, shown
from app.pql.origin import Place

KEYS: Final[dict[str, frozenset[str]]] = {
    node_type: frozenset({"nodeType", *keys.split()})
    for node_type, keys in {
        "literal": "literalType value",
        "fieldLookup": "fieldName object",
        "parameterReference": "position up",
        "fnApply": "fnName params",
        "varRef": "varName",
        "varDecl": "varName from where",
        "select": "variables",
        "lambda": "params body",
        "chain": "collection orderBy elements",
        "element": "name what when count countRange negated ignoreYear",
        "gap": "comparison duration",
        "occurs": "timestamp when ignoreYear",
        "timeQualification": "comparison duration direction reference",
        "range": "period start end min max all",
        "duration": "count unit",
        "quantification": "quantifier variables",
        "fnCreate": "params body",
    }.items()
}
"""The node types and the keys that each may have; other keys are kept."""

_CLASS_IN_NAME = re.compile(r"(.*)@\{([^{}\r\n]*)\}", re.DOTALL)


class Node:
    """A JSON object with a known ``nodeType``."""

    __slots__ = ("_members", "place", "type")

    def __init__(self, value: object, place: Place) -> None:
        if not isinstance(value, Mapping):
            fail("json-kind", f"A node is an object with a nodeType, not {kind_of(value)}.", place)
        node_type = value.get("nodeType")
        if not isinstance(node_type, str):
            what = "has no nodeType" if node_type is None else f"has {kind_of(node_type)} as its nodeType"
            fail("node-type", f"This JSON object {what}.", place, f"The node types are {', '.join(KEYS)}.")
        if node_type not in KEYS:
            hint = did_you_mean(node_type, KEYS) or f"The node types are {', '.join(KEYS)}."
            fail("node-type", f"The node type {shown(node_type)} is not known.", place, hint)
        self._members: Mapping[str, Any] = value
        self.place = place
        self.type: str = node_type

    def has(self, key: str) -> bool:
        """Tell whether the node has a key; null counts as absent."""
        return self._members.get(key) is not None

    def extras(self) -> dict[str, Any]:
        """Return the keys that the language does not know."""
        known = KEYS[self.type]
        return {key: value for key, value in self._members.items() if key not in known}

    def at(self, key: str) -> Place:
        """Return the place of a key."""
        return (self.place, key)

    def value(self, key: str) -> Any:
        """Return what a key that must be there holds."""
        value = self._members.get(key)
        if value is None:
            fail("missing-key", f"This {self.type} node has no {key}.", self.place)
        return value

    def child(self, key: str, *types: str) -> Node:
        """Return the node that a key holds; it must be of one of ``types`` when some are given."""
        node = Node(self.value(key), self.at(key))
        if types and node.type not in types:
            node.fail("node-kind", f"The {key} of a {self.type} node is {_either(types)}, not {node.type}.")
        return node

    def children(self, key: str, *types: str) -> list[Node]:
        """Return the nodes in the array that a key holds."""
        place = self.at(key)
        nodes = [Node(one, (place, index)) for index, one in enumerate(self.array(key))]
        for node in nodes:
            if types and node.type not in types:
                node.fail("node-kind", f"The {key} of a {self.type} node are {_either(types)}, not {node.type}.")
        return nodes

    def array(self, key: str) -> list[Any]:
        """Return the array that a key holds."""
        value = self.value(key)
        if not isinstance(value, list | tuple):
            self._wrong(key, "an array", value)
        return list(value)

    def text(self, key: str) -> str:
        """Return the string that a key holds."""
        value = self.value(key)
        if not isinstance(value, str):
            self._wrong(key, "a string", value)
        return value

    def name(self, key: str) -> str:
        """Return the name that a key holds; it is not empty and is one line."""
        value = self.text(key)
        check_name(value, self.type, self.at(key))
        return value

    def integer(self, key: str, default: int | None = None, *, least: int = 0) -> int:
        """Return the whole number that a key holds."""
        if default is not None and not self.has(key):
            return default
        value = self.value(key)
        if not isinstance(value, int) or isinstance(value, bool):
            self._wrong(key, "a whole number", value)
        if not least <= value < 2**63:
            fail("integer-range", f"The {key} of this {self.type} node is not {least} or more.", self.at(key))
        return value

    def boolean(self, key: str) -> bool:
        """Return the Boolean that a key holds, false when it is not there."""
        if not self.has(key):
            return False
        value = self.value(key)
        if not isinstance(value, bool):
            self._wrong(key, "a Boolean", value)
        return value

    def fail(self, code: str, message: str, hint: str | None = None) -> NoReturn:
        """Refuse the document for this node."""
        fail(code, message, self.place, hint)

    def _wrong(self, key: str, wanted: str, value: object) -> NoReturn:
        fail("json-kind", f"The {key} of a {self.type} node is {wanted}, not {kind_of(value)}.", self.at(key))


def check_name(name: str, node_type: str, place: Place) -> None:
    """Refuse a name that no text can hold."""
    if not name:
        fail("empty-name", f"A name in a {node_type} node is empty.", place)
    if "\n" in name or "\r" in name:
        fail("wrong-name", f"A name in a {node_type} node has a line break.", place)


def split_relation(field_name: str) -> tuple[str, str | None]:
    """Return a field's name and the class of its relation: ``storeId@{store}`` is ``("storeId", "store")``."""
    found = _CLASS_IN_NAME.fullmatch(field_name)
    return (field_name, None) if found is None else (found.group(1), found.group(2))


def _either(types: tuple[str, ...]) -> str:
    return types[0] if len(types) == 1 else f"{', '.join(types[:-1])} or {types[-1]}"
