"""Where the sample's XDM fields live, as the rule compiler asks for it: the model in the shape of `app.pql.layout`."""

from __future__ import annotations

from app.evaluation import model
from app.evaluation.model import Entity, Path
from app.pql.layout import Child, Lookup, Memberships, Table

PROFILES = Table(model.PROFILES.table, model.PROFILE_KEY)
EVENTS = Table(
    model.EVENTS.table,
    model.PROFILE_KEY,
    row_key=(model.EVENT_KEY,),
    order=(model.EVENT_TIME, model.EVENT_KEY),
    unique_ids=True,
)
ITEMS = Table(model.ITEMS.table, model.PROFILE_KEY, row_key=(model.EVENT_KEY, "item_no"), order=("item_no",))
IDENTITIES = Table(
    model.IDENTITIES.table,
    model.PROFILE_KEY,
    row_key=(model.IDENTITY_NAMESPACE_COLUMN, "position"),
    order=("position",),
)
PERKS = Table(model.PERKS.table, model.PROFILE_KEY, row_key=("position",), order=("position",))

_OF_PROFILE = ((model.PROFILE_KEY, model.PROFILE_KEY),)
_OF_EVENT = (*_OF_PROFILE, (model.EVENT_KEY, model.EVENT_KEY))

_REPEATED_BY_ITEMS = ((("eventType",), "event_type"), (("timestamp",), model.EVENT_TIME))

_CHILDREN: tuple[tuple[Table, Path, Child], ...] = (
    (PROFILES, model.EVENTS_PATH, Child(EVENTS, _OF_PROFILE)),
    (PROFILES, model.IDENTITY_MAP_PATH, Child(IDENTITIES, _OF_PROFILE, keys=(model.IDENTITY_NAMESPACE_COLUMN,))),
    (PROFILES, model.PERKS_PATH, Child(PERKS, _OF_PROFILE, value="perk")),
    (EVENTS, model.ITEMS_PATH, Child(ITEMS, _OF_EVENT, repeated=_REPEATED_BY_ITEMS)),
)


class SampleLayout:
    """Implements `app.pql.layout.Layout` for the tables of `model` and one organization's namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        entities = (*model.TABLES, *(lookup.entity for lookup in model.LOOKUPS))
        self._columns = {entity.table: self._columns_of(entity) for entity in entities}
        self._children = {(table.name, model.path_in(path, namespace)): child for table, path, child in _CHILDREN}
        self._lookups = {
            ".".join(model.path_in(lookup.class_name, namespace)): Lookup(
                Table(lookup.entity.table, None, row_key=(lookup.key.column,)), lookup.key.column
            )
            for lookup in model.LOOKUPS
        }

    @property
    def profiles(self) -> Table:
        """The table with one row for each profile."""
        return PROFILES

    def column(self, table: Table, path: Path) -> str | None:
        """Return the column of the scalar at ``path`` of a row of ``table``."""
        return self._columns.get(table.name, {}).get(path)

    def child(self, table: Table, path: Path) -> Child | None:
        """Return the exploded table of the array or map at ``path`` of a row of ``table``."""
        return self._children.get((table.name, path))

    def lookup(self, class_name: str) -> Lookup | None:
        """Return the records of a class, by its dotted name."""
        return self._lookups.get(class_name)

    @property
    def memberships(self) -> Memberships | None:
        """Where the memberships of segments are: not in these tables."""
        return None

    def _columns_of(self, entity: Entity) -> dict[Path, str]:
        return {field.path_in(self.namespace): field.column for field in entity.fields}
