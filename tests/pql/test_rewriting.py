"""A rule moves from one organization to another."""

from __future__ import annotations

import pytest

from app import pql
from app.errors import PQLError
from app.evaluation.schema import event_union, lookups, profile_union
from app.pql.schema import XDMSchema
from tests.pql.constructs import CONSTRUCTS

OLD, NEW = "_wwfovlab011", "_solsticeretail"
THERE = XDMSchema.from_json_schema(profile_union(NEW), event_union(NEW), lookups(NEW))


@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_every_construct_fits_the_other_organization_and_moves_back(construct: str) -> None:
    rule = CONSTRUCTS[construct]
    moved = pql.rewrite_namespace(rule, OLD, NEW)
    pql.check(pql.parse(moved), THERE)
    assert pql.rewrite_namespace(moved, NEW, OLD) == rule


def test_layout_keywords_and_strings_stay() -> None:
    rule = f'{OLD}.loyalty.level   =\n"{OLD}"  AND\t`{OLD}`.x@{{{OLD}.xdm.classes.store}}.{OLD}.city = "a"'
    moved = f'{NEW}.loyalty.level   =\n"{OLD}"  AND\t{NEW}.x@{{{NEW}.xdm.classes.store}}.{NEW}.city = "a"'
    assert pql.rewrite_namespace(rule, OLD, NEW) == moved


def test_a_longer_name_that_begins_alike_stays() -> None:
    assert pql.rewrite_namespace("_wwfovlab0110.x = 1", OLD, NEW) == "_wwfovlab0110.x = 1"


def test_a_namespace_that_is_no_plain_name_is_quoted() -> None:
    assert pql.rewrite_namespace(f"{OLD}.x = 1", OLD, "_my-org") == "`_my-org`.x = 1"


def test_a_variable_that_would_hide_the_fields_is_an_error() -> None:
    with pytest.raises(PQLError) as refusal:
        pql.rewrite_namespace(f"select {NEW} from xEvent where {OLD}.x = 1", OLD, NEW)
    assert refusal.value.diagnostics[0].code == "namespace-taken"


def test_what_is_no_rule_is_refused() -> None:
    with pytest.raises(PQLError):
        pql.rewrite_namespace("a = = 1", OLD, NEW)
