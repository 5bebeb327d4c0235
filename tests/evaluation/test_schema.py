"""The XDM documents and the layout tell of the same fields, and both of what the tables hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.evaluation import layout, model, schema
from app.evaluation.dataset import Dataset
from app.evaluation.layout import SampleLayout
from app.pql.layout import Child, Layout, Table
from app.pql.memberships import MEMBERSHIP_FIELD
from tests.evaluation.conftest import NAMESPACE

Path = tuple[str, ...]
LAYOUT: Layout = SampleLayout(NAMESPACE)


def leaves(document: dict[str, Any], path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield everything in a document that is not an object with members: scalars, arrays and maps."""
    for name, member in document["properties"].items():
        if "properties" in member:
            yield from leaves(member, (*path, name))
        else:
            yield (*path, name), member


def places(table: Table, document: dict[str, Any]) -> Iterator[tuple[Table, Path, str]]:
    """Yield (table, path, column) of every scalar below a document, by asking the layout as the compiler does."""
    for path, leaf in leaves(document):
        if path == (MEMBERSHIP_FIELD,):
            continue  # kept as sets, apart from the tables
        element = leaf.get("items") or leaf.get("additionalProperties")
        if element is None:
            yield table, path, column_of(table, path)
        else:
            yield from inside(table, path, element)


def inside(table: Table, path: Path, element: dict[str, Any]) -> Iterator[tuple[Table, Path, str]]:
    child = LAYOUT.child(table, path)
    assert child is not None, f"{path} has no table"
    element = element.get("items", element)
    if child.value is not None:
        yield child.table, path, child.value
    else:
        yield from places(child.table, element)


def column_of(table: Table, path: Path) -> str:
    column = LAYOUT.column(table, path)
    assert column is not None, f"{path} has no column in {table.name}"
    return column


def everything() -> list[tuple[Table, Path, str]]:
    event_table = child(LAYOUT.profiles, model.EVENTS_PATH).table
    found = list(places(LAYOUT.profiles, schema.profile_union(NAMESPACE)))
    found += places(event_table, schema.event_union(NAMESPACE))
    for class_name, document in schema.lookups(NAMESPACE).items():
        lookup = LAYOUT.lookup(class_name)
        assert lookup is not None
        found += places(lookup.table, document)
    return found


def child(table: Table, path: Path) -> Child:
    found = LAYOUT.child(table, path)
    assert found is not None
    return found


def test_every_field_of_the_schema_has_a_place_and_every_field_of_the_model_is_in_the_schema() -> None:
    fields = {(entity.table, field.column) for entity in model.TABLES for field in entity.fields}
    assert {(table.name, column) for table, _, column in everything()} == fields | {(model.PERKS.table, "perk")}


async def test_every_column_that_the_layout_names_is_in_its_table(dataset: Dataset) -> None:
    query = "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal"
    exist = set(await dataset.run(lambda connection: connection.execute(query).fetchall()))
    tables = [(LAYOUT.profiles, None), *((found.table, (parent, found)) for parent, _, found in layout._CHILDREN)]
    named = {(table.name, column) for table, _, column in everything()}
    for table, parentage in tables:
        named |= {(table.name, column) for column in (table.profile_key, *table.row_key, *table.order) if column}
        if parentage is not None:
            parent, found = parentage
            named |= {(parent.name, column) for column, _ in found.join}
            named |= {(table.name, column) for _, column in (*found.join, *found.repeated)}
            named |= {(table.name, column) for column in found.keys}
    assert named <= exist


async def test_row_keys_tell_the_rows_of_a_profile_apart(dataset: Dataset) -> None:
    for _, _, found in layout._CHILDREN:
        key = ", ".join((model.PROFILE_KEY, *found.table.row_key))
        query = f"SELECT count(*) FROM (SELECT {key} FROM {found.table.name} GROUP BY ALL HAVING count(*) > 1)"
        assert await dataset.run(lambda connection: connection.execute(query).fetchall()) == [(0,)]  # noqa: B023


async def test_joins_of_children_find_a_parent_for_every_row(dataset: Dataset) -> None:
    for parent, _, found in layout._CHILDREN:
        on = " AND ".join(f"parent.{left} = child.{right}" for left, right in found.join)
        query = f"SELECT count(*) FROM {found.table.name} AS child ANTI JOIN {parent.name} AS parent ON {on}"
        assert await dataset.run(lambda connection: connection.execute(query).fetchall()) == [(0,)]  # noqa: B023


async def test_column_types_are_those_that_the_compiler_expects(dataset: Dataset) -> None:
    expected = {
        "string": {"VARCHAR", "ENUM"},
        "integer": {"INTEGER"},
        "number": {"DOUBLE"},
        "boolean": {"BOOLEAN"},
        "date": {"DATE"},
        "date-time": {"TIMESTAMP"},
    }
    query = "SELECT table_name, column_name, split_part(data_type, '(', 1) FROM duckdb_columns() WHERE NOT internal"
    rows = await dataset.run(lambda connection: connection.execute(query).fetchall())
    types = {(table, column): sql_type for table, column, sql_type in rows}
    for entity in model.TABLES:
        for field in entity.fields:
            assert types[entity.table, field.column] in expected[field.type], (entity.table, field.column)


async def test_enumerations_are_in_code_point_order(dataset: Dataset) -> None:
    for codes in model.ENUMERATIONS:
        query = f"SELECT unnest(enum_range(NULL::{codes.name}))::VARCHAR"
        values = [value for (value,) in await dataset.run(lambda connection: connection.execute(query).fetchall())]  # noqa: B023
        assert values
        assert values == sorted(values)


def test_a_field_of_another_organization_has_no_place() -> None:
    other = ("_solsticeretail", "loyalty", "level")
    assert LAYOUT.column(LAYOUT.profiles, other) is None
    assert SampleLayout("_solsticeretail").column(LAYOUT.profiles, other) == "loyalty_level"
    assert SampleLayout("_solsticeretail").lookup("_wwfovlab011.xdm.classes.store") is None


@pytest.mark.parametrize("namespace", [NAMESPACE, "_solsticeretail"])
def test_documents_speak_only_of_their_organization(namespace: str) -> None:
    documents = [schema.profile_union(namespace), schema.event_union(namespace), *schema.lookups(namespace).values()]
    for document in documents:
        tenants = {name for name in document["properties"] if name.startswith("_") and name != "_id"}
        assert tenants <= {namespace}


def test_the_loyalty_level_is_described_with_its_values() -> None:
    properties = schema.profile_union(NAMESPACE)["properties"][NAMESPACE]["properties"]["loyalty"]["properties"]
    assert properties["level"] == {
        "title": "Loyalty level",
        "type": "string",
        "meta:xdmType": "string",
        "enum": ["bronze", "gold", "platinum", "silver"],
        "meta:enum": {"bronze": "bronze", "gold": "gold", "platinum": "platinum", "silver": "silver"},
    }


def test_documents_are_made_anew_for_each_caller() -> None:
    first = schema.profile_union(NAMESPACE)
    first["properties"]["person"]["properties"].clear()
    first["properties"][NAMESPACE]["properties"]["loyalty"]["properties"]["level"]["enum"].clear()
    assert schema.profile_union(NAMESPACE)["properties"]["person"]["properties"]
    assert schema.profile_union(NAMESPACE)["properties"][NAMESPACE]["properties"]["loyalty"]["properties"]["level"][
        "enum"
    ]
