"""Bodies are read as AEP reads them; what is wrong with one is said in AEP's words."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from app.aep import models
from app.aep.models import (
    EvaluationInfo,
    Expression,
    ExternalAudienceCreate,
    PreviewRequest,
    SegmentDefinitionCreate,
    SegmentDefinitionPatch,
)
from app.errors import InvalidRequest

BODY: dict[str, Any] = {
    "name": "Luma Bronze Customer",
    "description": "Segment dataset into all bronze customers",
    "expression": {"type": "PQL", "format": "pql/text", "value": '_wwfovlab011.loyalty.level="bronze"'},
    "schema": {"name": "_xdm.context.profile", "id": "luma_bronze_customers"},
    "ttlInDays": 90,
}


def _messages(model: type[models.AEPModel], body: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        models.read_model(model, body)
    pairs = models.validation_messages(caught.value)
    assert {code for code, _ in pairs} == {"UPLIB-101206-500"}
    return [message for _, message in pairs]


def test_the_lesson_body_is_valid() -> None:
    read = models.read_model(SegmentDefinitionCreate, BODY)
    assert read.name == "Luma Bronze Customer"
    assert read.schema_.id == "luma_bronze_customers"
    assert read.ttl_in_days == 90


def test_each_missing_member_is_named() -> None:
    assert _messages(SegmentDefinitionCreate, {}) == [
        "The mandatory field name is missing. Add it and try again.",
        "The mandatory field expression is missing. Add it and try again.",
        "The mandatory field schema is missing. Add it and try again.",
    ]


@pytest.mark.parametrize("body", [[], "text", 3, None])
def test_a_body_that_is_no_object_is_refused(body: Any) -> None:
    assert _messages(SegmentDefinitionCreate, body) == ["The body must be a JSON object."]


def test_unknown_members_are_kept() -> None:
    read = models.read_model(SegmentDefinitionCreate, {**BODY, "somethingNew": 1})
    assert read.model_dump(exclude_unset=True)["somethingNew"] == 1


def test_expression_type_is_read_in_any_letter_case() -> None:
    assert Expression.model_validate({"type": "pql", "format": "pql/text", "value": "a"}).type == "PQL"


def test_expression_value_is_a_text_and_a_tree_becomes_one() -> None:
    tree = {"type": "PQL", "format": "pql/json", "value": {"nodeType": "literal", "value": True}}
    read = models.read_model(SegmentDefinitionCreate, {**BODY, "expression": tree})
    assert read.expression.value == '{"nodeType":"literal","value":true}'
    assert _messages(SegmentDefinitionCreate, {**BODY, "expression": {**tree, "format": "pql/text"}}) == [
        "The field expression.value is not valid: input should be a valid string."
    ]


@pytest.mark.parametrize(
    "given",
    [{}, {"batch": {"enabled": False}}, {"batch": {"enabled": True}, "continuous": {"enabled": True}}],
)
def test_exactly_one_evaluation_method_must_be_on(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EvaluationInfo.model_validate(given)


@pytest.mark.parametrize("method", models.EVALUATION_METHODS)
def test_evaluation_info_is_written_with_all_three(method: models.EvaluationMethod) -> None:
    written = models.evaluation_info(method)
    assert set(written) == set(models.EVALUATION_METHODS)
    assert EvaluationInfo.model_validate(written).method == method


def test_patch_may_be_partial_but_not_null_the_rule() -> None:
    assert models.read_model(SegmentDefinitionPatch, {"description": "x"}).description == "x"
    assert _messages(SegmentDefinitionPatch, {"expression": None})
    assert _messages(SegmentDefinitionPatch, {"name": " "})


def test_retired_lifecycle_words_are_understood() -> None:
    assert models.with_current_words({"lifecycle": "active"}) == {"lifecycleState": "published"}
    assert models.with_current_words({"lifecycleStatus": "Draft"}) == {"lifecycleState": "draft"}
    assert models.read_model(SegmentDefinitionCreate, {**BODY, "lifecycle": "active"}).lifecycle_state == "published"


def test_external_audience_needs_its_own_id_and_namespace() -> None:
    body = {"name": "x", "type": "ExternalSegment"}
    assert len(_messages(ExternalAudienceCreate, body)) == 2


@pytest.mark.parametrize("model", ["_xdm.context.profile", "xdm.model.profile"])
def test_preview_accepts_both_names_of_the_profile_class(model: str) -> None:
    read = models.read_model(PreviewRequest, {"predicateExpression": "a = 1", "predicateModel": model})
    assert read.predicate_model == "_xdm.context.profile"
    assert read.predicate_type == "pql/text"


@pytest.mark.parametrize("body", [{"ids": [{"id": "a"}, {"id": "b"}, {"id": "a"}]}, ["a", "b"], [{"id": "a"}, "b"]])
def test_bulk_ids_are_read_in_every_form_each_once(body: Any) -> None:
    assert models.bulk_ids(body) == ["a", "b"]


@pytest.mark.parametrize("body", [{}, {"ids": []}, {"ids": "a"}, [1], [{"id": ""}], ["a"] * 101, None, 3])
def test_bad_bulk_bodies_are_refused(body: Any) -> None:
    with pytest.raises(InvalidRequest):
        models.bulk_ids(body)
