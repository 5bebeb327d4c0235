"""Which fields and segments a rule reads."""

from __future__ import annotations

from app.pql import ir
from app.pql.checker import Checked
from app.pql.memberships import segment_of_status

_ELEMENT_SOURCES = (ir.Kept, ir.Distinct, ir.Ranked, ir.Head, ir.Grouped)


def fields_used(checked: Checked) -> tuple[str, ...]:
    """Return the dotted paths of the fields that a rule reads, sorted, each once.

    Fields of events begin with ``xEvent.``; fields of a related record with the path of the key and the class, as in
    ``xEvent.productListItems.SKU@{_xdm.context.product}.category``. Only the longest paths are given.
    """
    collector = _Collector(checked)
    found = sorted({path for path in map(collector.path, ir.walk(checked.root)) if path})
    return tuple(path for path in found if not any(_is_below(other, path) for other in found))


def segments_used(checked: Checked) -> tuple[str, ...]:
    """Return the ids of the segments that a rule refers to, by ``inSegment`` or by path, in order, each once."""
    ids = [
        node.segment_id if isinstance(node, ir.InSegment) else segment_of_status(node, checked.profile)
        for node in ir.walk(checked.root)
    ]
    return tuple(dict.fromkeys(one for one in ids if one is not None))


def _is_below(path: str, parent: str) -> bool:
    return path.startswith(parent) and path[len(parent) : len(parent) + 1] in {".", "@"}


class _Collector:
    """Says where variables come from, so that a field of an element gets the path of its array in front."""

    def __init__(self, checked: Checked) -> None:
        self._sources: dict[ir.Variable, ir.Expr | None] = {checked.profile: None}
        for node in ir.walk(checked.root):
            match node:
                case ir.Binding(variable, source) | ir.Kept(_, source, variable) | ir.Mapped(_, source, variable):
                    self._sources[variable] = source
                case ir.Ranked(_, source, variable) | ir.Grouped(_, source, variable):
                    self._sources[variable] = source
                case ir.MappedEntries(_, map_, _, variable):
                    self._sources[variable] = map_
                case ir.Let(_, variable, value):
                    self._sources[variable] = value
                case ir.Chain(collection=collection, elements=elements):
                    self._sources.update(dict.fromkeys((one.variable for one in elements), collection))

    def path(self, node: object) -> str:
        """Return the path that a node reads, empty when it reads none by itself."""
        match node:
            case ir.Reference(_, variable):
                source = self._sources.get(variable)
                return "" if source is None else self.path(source)
            case ir.Field(_, object_, path):
                return ".".join(filter(None, (self.path(object_), *path)))
            case ir.Related(_, key, class_name):
                return f"{self.path(key)}@{{{class_name}}}"
            case ir.Lookup(_, map_, ir.Constant(_, str(key))):
                return f"{self.path(map_)}.{key}" if self.path(map_) else ""
            case ir.Mapped(_, _, _, body, projects=True):
                return self.path(body)
            case ir.Kept() | ir.Distinct() | ir.Ranked() | ir.Head() | ir.Grouped():
                return self.path(node.source)
            case ir.MapKeys(_, map_) | ir.MapValues(_, map_) | ir.Lookup(_, map_):
                return self.path(map_)
        return ""
