"""The bodies that clients send, as far as we read them. Members that we do not know are kept.

Pydantic checks shapes; the words of a failure are made by :func:`validation_messages` in the style of the service.
Source: Adobe's OpenAPI description of the segmentation service and its documentation pages (read December 2025).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel

from app.aep.errors import ErrorCode
from app.errors import InvalidRequest

PROFILE_CLASS: Final = "_xdm.context.profile"
BULK_GET_MAX: Final = 100

LifecycleState = Literal["draft", "published", "inactive"]
ExpressionFormat = Literal["pql/text", "pql/json"]
EvaluationMethod = Literal["batch", "continuous", "synchronous"]
EVALUATION_METHODS: Final[tuple[EvaluationMethod, ...]] = ("batch", "continuous", "synchronous")

# What a segment definition shows of the audience that it is, in the order in which the service writes it. Optional
# members stand only where a client gave them.
DEFINITION_MEMBERS: Final = (
    "id",
    "schema",
    "ttlInDays",
    "profileInstanceId",
    "imsOrgId",
    "sandbox",
    "name",
    "description",
    "expression",
    "mergePolicyId",
    "evaluationInfo",
    "dataGovernancePolicy",
    "payloadSchema",
    "tags",
    "labels",
    "createdBy",
    "creationTime",
    "updateEpoch",
    "updateTime",
)

# Set by the service; in a body they are ignored (the documented samples send zeros).
SERVER_OWNED: Final = frozenset(
    {"id", "imsOrgId", "sandbox", "creationTime", "createEpoch", "updateTime", "updateEpoch", "createdBy", "_etag"}
)

# What people write in a definition, in the order in which they would look at it.
EDITABLE: Final = (
    "name",
    "description",
    "expression",
    "evaluationInfo",
    "mergePolicyId",
    "ttlInDays",
    "schema",
    "dataGovernancePolicy",
    "tags",
    "labels",
)


def edited_members(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the editable members in which two versions of a definition differ; null is the same as absent."""
    return [name for name in EDITABLE if before.get(name) != after.get(name)]


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    return value


Name = Annotated[str, AfterValidator(_not_blank), Field(max_length=1024)]


class AEPModel(BaseModel):
    """Base of the contract's models: camel case on the wire, unknown members kept, no silent conversions."""

    model_config = ConfigDict(
        extra="allow", alias_generator=to_camel, populate_by_name=True, strict=True, serialize_by_alias=True
    )


class SchemaReference(AEPModel):
    """The class of the entities that a rule is about, by name or by id."""

    name: str | None = None
    id: str | None = None

    @model_validator(mode="after")
    def _names_something(self) -> SchemaReference:
        if not self.name and not self.id:
            raise ValueError("must have a name or an id")
        return self


class Expression(AEPModel):
    """A rule. ``value`` is text in both formats: for ``pql/json`` it holds the tree serialised as JSON."""

    type: str = "PQL"
    format: ExpressionFormat = "pql/text"
    value: Name = Field(max_length=1_000_000)

    @model_validator(mode="before")
    @classmethod
    def _tree_as_text(cls, data: Any) -> Any:
        """Take a JSON tree that came as an object, as the Flow Service sends it."""
        return tree_as_text(data)

    @field_validator("type")
    @classmethod
    def _known_type(cls, value: str) -> str:
        # One published example writes it in lower case.
        if value.upper() != "PQL":
            raise ValueError("must be PQL")
        return "PQL"


class Enabled(AEPModel):
    """A switch."""

    enabled: bool


class EvaluationInfo(AEPModel):
    """How a rule is evaluated: batch, continuous (streaming) or synchronous (edge). Exactly one is enabled."""

    batch: Enabled | None = None
    continuous: Enabled | None = None
    synchronous: Enabled | None = None

    @property
    def method(self) -> EvaluationMethod:
        """The one method that is enabled."""
        return next(name for name in EVALUATION_METHODS if self._is_on(name))

    @model_validator(mode="after")
    def _exactly_one(self) -> EvaluationInfo:
        if sum(self._is_on(name) for name in EVALUATION_METHODS) != 1:
            raise ValueError("must enable exactly one of batch, continuous and synchronous")
        return self

    def _is_on(self, name: EvaluationMethod) -> bool:
        switch: Enabled | None = getattr(self, name)
        return switch is not None and switch.enabled


def enabled_method(document: Mapping[str, Any]) -> EvaluationMethod:
    """Return the evaluation method of an audience as AEP returns it; batch when it says nothing."""
    given = document.get("evaluationInfo") or {}
    return next((name for name in EVALUATION_METHODS if given.get(name, {}).get("enabled")), "batch")


def evaluation_info(method: EvaluationMethod = "batch") -> dict[str, dict[str, bool]]:
    """Return the wire object for a method; all three members are always written."""
    return {name: {"enabled": name == method} for name in EVALUATION_METHODS}


class SegmentDefinitionCreate(AEPModel):
    """Body of ``POST /segment/definitions`` and, without being stored, of ``POST /segment/conversion``."""

    name: Name
    expression: Expression
    schema_: SchemaReference = Field(alias="schema")
    description: str | None = None
    evaluation_info: EvaluationInfo | None = None
    merge_policy_id: str | None = None
    profile_instance_id: str | None = None
    ttl_in_days: int | None = Field(default=None, ge=0)
    labels: list[str] | None = None
    tags: list[str] | None = None
    lifecycle_state: LifecycleState | None = None

    @model_validator(mode="before")
    @classmethod
    def _old_words(cls, data: Any) -> Any:
        return with_current_words(data)


class SegmentDefinitionPatch(AEPModel):
    """Body of ``PATCH /segment/definitions/{id}``: members that are present replace the stored ones as a whole."""

    name: Name = ""
    expression: Expression | None = None
    schema_: SchemaReference | None = Field(default=None, alias="schema")
    description: str | None = None
    evaluation_info: EvaluationInfo | None = None
    merge_policy_id: str | None = None
    profile_instance_id: str | None = None
    ttl_in_days: int | None = Field(default=None, ge=0)
    labels: list[str] | None = None
    tags: list[str] | None = None
    lifecycle_state: LifecycleState | None = None

    @model_validator(mode="before")
    @classmethod
    def _old_words(cls, data: Any) -> Any:
        return with_current_words(data)

    @field_validator("expression", "schema_")
    @classmethod
    def _not_null(cls, value: Any) -> Any:
        # Both may be left out, which keeps the stored one, but a definition cannot be without them.
        if value is None:
            raise ValueError("must not be null")
        return value


class PlatformAudienceCreate(SegmentDefinitionCreate):
    """Body of ``POST /audiences`` for an audience that the platform evaluates."""

    type: Literal["SegmentDefinition"] = "SegmentDefinition"


class ExternalAudienceCreate(AEPModel):
    """Body of ``POST /audiences`` for an audience that was made elsewhere."""

    audience_id: Name
    name: Name
    namespace: Name
    type: Literal["ExternalSegment", "ExternalAudience"]
    origin_name: Name = "CUSTOM_UPLOAD"
    dataset_id: str | None = None
    description: str | None = None
    labels: list[str] | None = None
    lifecycle_state: LifecycleState | None = None
    audience_meta: dict[str, Any] | None = None
    linked_audience_ref: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _old_words(cls, data: Any) -> Any:
        return with_current_words(data)


class PreviewRequest(AEPModel):
    """Body of ``POST /preview``."""

    predicate_expression: Name = Field(max_length=1_000_000)
    predicate_type: ExpressionFormat = "pql/text"
    predicate_model: str = PROFILE_CLASS
    graph_type: Literal["pdg", "none"] = "none"
    merge_policy_id: str | None = None

    @field_validator("predicate_type", mode="before")
    @classmethod
    def _known_type(cls, value: Any) -> str:
        if not isinstance(value, str) or value.lower() not in {"pql/text", "pql/json", "pql"}:
            raise ValueError("must be pql/text or pql/json")
        return "pql/json" if value.lower() == "pql/json" else "pql/text"

    @field_validator("predicate_model")
    @classmethod
    def _known_model(cls, value: str) -> str:
        # The older default name means the same class.
        if value not in {PROFILE_CLASS, "xdm.model.profile"}:
            raise ValueError(f"must be {PROFILE_CLASS}")
        return PROFILE_CLASS


class Sandbox(AEPModel):
    """The sandbox as it stands inside segmentation objects."""

    sandbox_id: str
    sandbox_name: str
    type: Literal["production", "development"]
    default: bool


class SegmentDefinition(AEPModel):
    """A definition as AEP returns it."""

    id: str
    name: str
    expression: Expression
    schema_: SchemaReference | None = Field(default=None, alias="schema")
    description: str | None = None
    ims_org_id: str | None = None
    sandbox: Sandbox | None = None
    merge_policy_id: str | None = None
    creation_time: int | None = None
    update_time: int | None = None
    update_epoch: int | None = None
    created_by: str | None = None


class Audience(AEPModel):
    """An audience as AEP returns it: the platform's own, or one that was made elsewhere (then without a rule)."""

    id: str
    name: str
    audience_id: str | None = None
    namespace: str | None = None
    type: str | None = None
    origin_name: str | None = None
    lifecycle_state: str | None = None
    description: str | None = None
    expression: Expression | None = None
    ims_org_id: str | None = None
    sandbox: Sandbox | None = None
    creation_time: int | None = None
    update_time: int | None = None
    update_epoch: int | None = None
    created_by: str | None = None


ModelT = TypeVar("ModelT", bound=AEPModel)


def read_model(model: type[ModelT], document: Any) -> ModelT:
    """Read a body into a model. Raises pydantic's ValidationError, to be told by :func:`validation_messages`."""
    return model.model_validate(document)


def validation_messages(exc: ValidationError) -> list[tuple[str, str]]:
    """Return ``(code, message)`` for each fault of a body, in the words of the service.

    The code is the one for a body that cannot be read into the model; the status that carries it is 400.
    """
    return [(ErrorCode.UNREADABLE_BODY.value, _fault_text(fault)) for fault in exc.errors(include_url=False)]


def _fault_text(fault: Mapping[str, Any]) -> str:
    field = ".".join(str(step) for step in fault["loc"])
    if fault["type"] == "missing":
        return f"The mandatory field {field} is missing. Add it and try again."
    if fault["type"] == "model_type":
        return f"The field {field} must be a JSON object." if field else "The body must be a JSON object."
    reason = str(fault["msg"]).removeprefix("Value error, ")
    reason = reason[:1].lower() + reason[1:]
    return f"The field {field} is not valid: {reason}." if field else f"The body is not valid: {reason}."


def tree_as_text(expression: Any) -> Any:
    """Return an expression whose value is text: the service takes no other, though other services send the tree."""
    if not isinstance(expression, Mapping) or expression.get("format") != "pql/json":
        return expression
    if not isinstance(expression.get("value"), Mapping):
        return expression
    try:
        text = json.dumps(expression["value"], separators=(",", ":"), ensure_ascii=False)
    except RecursionError:
        raise ValueError("must not be nested so deep") from None
    return {**expression, "value": text}


def with_text_expression(document: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a definition or audience with the value of its expression as text."""
    try:
        expression = tree_as_text(document.get("expression"))
    except ValueError as problem:
        raise InvalidRequest(f"The field expression.value {problem}.") from None
    return document if expression is document.get("expression") else {**document, "expression": expression}


def with_current_words(document: Any) -> Any:
    """Return a body with the retired names of ``lifecycleState`` and of its values replaced by today's."""
    if not isinstance(document, Mapping):
        return document
    result = dict(document)
    for old in ("lifecycle", "lifecycleStatus"):
        if isinstance(result.get(old), str):
            value = result.pop(old)
            result.setdefault("lifecycleState", value)
    state = result.get("lifecycleState")
    if isinstance(state, str):
        result["lifecycleState"] = "published" if state.lower() == "active" else state.lower()
    return result


def bulk_ids(document: Any) -> list[str]:
    """Read the ids of a bulk-get body, each once, in order.

    Accepts ``{"ids": [{"id": "..."}]}`` and a bare list of ids or of ``{"id"}``, which one public client sends.
    Raises InvalidRequest unless there are between 1 and 100.
    """
    listed = document.get("ids") if isinstance(document, Mapping) else document
    if not isinstance(listed, list):
        raise InvalidRequest("The body must hold a list of ids", hint='Send {"ids": [{"id": "..."}]}.', path=("ids",))
    ids = [entry.get("id") if isinstance(entry, Mapping) else entry for entry in listed]
    if not all(isinstance(entry, str) and entry for entry in ids):
        raise InvalidRequest("Each id must be a text", path=("ids",))
    if not 1 <= len(ids) <= BULK_GET_MAX:
        raise InvalidRequest(f"The number of ids must be between 1 and {BULK_GET_MAX}, not {len(ids)}", path=("ids",))
    return list(dict.fromkeys(str(entry) for entry in ids))


def bulk_body(ids: list[str], found: Mapping[str, Any], missing: Mapping[str, Any]) -> dict[str, Any]:
    """Return a bulk-get answer: an object keyed by id, with ``missing`` in the places of what was not found."""
    return {"results": {identifier: found.get(identifier, missing) for identifier in ids}}
