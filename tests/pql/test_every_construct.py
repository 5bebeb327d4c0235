"""Every construct of the language is parsed, checked and written."""

from __future__ import annotations

import pytest

from app import pql
from app.evaluation.schema import event_union, lookups, profile_union
from app.pql.schema import XDMSchema
from tests.pql.constructs import CONSTRUCTS
from tests.pql.rules import NAMESPACE

SCHEMA = XDMSchema.from_json_schema(profile_union(NAMESPACE), event_union(NAMESPACE), lookups(NAMESPACE))


@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_a_construct_is_read_checked_and_written(construct: str) -> None:
    query = pql.parse(CONSTRUCTS[construct])
    pql.check(query, SCHEMA)
    pql.check(query)
    written = pql.format_query(query)
    again = pql.parse(written)
    assert again.body == query.body
    assert pql.format_query(again) == written
