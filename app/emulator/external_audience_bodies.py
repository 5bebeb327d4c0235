"""The bodies that clients send about external audiences. Times are in seconds since 1970."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from app.aep.models import AEPModel, Name


def _number(value: Any) -> Any:
    """Take a number that arrives as text, as one public client sends it."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else value


Days = Annotated[int, BeforeValidator(_number), Field(ge=1, le=90)]


class ExternalField(AEPModel):
    """A column of the upload; ``identityNs`` is the namespace of the identities in it."""

    name: Name
    type: Literal["string", "number", "long", "integer", "date", "datetime", "boolean"]
    identity_ns: str | None = None
    labels: list[str] | None = None


class SourceParameters(AEPModel):
    """Where the data lies."""

    path: Name
    type: Literal["file", "folder"]
    source_type: str = "Cloud Storage"


class SourceSpec(AEPModel):
    """The source; older documents write its parameters without ``params`` around them."""

    params: SourceParameters

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, data: Any) -> Any:
        return {"params": data} if isinstance(data, Mapping) and "params" not in data else data


Fields = Annotated[list[ExternalField], Field(min_length=1)]


class ExternalCreate(AEPModel):
    """Body of the creation."""

    name: Name
    description: str | None = None
    fields: Fields
    source_spec: SourceSpec
    ttl_in_days: Days = 30
    audience_type: Literal["people"] = "people"
    origin_name: Literal["CUSTOM_UPLOAD"]
    namespace: Name = "CustomerAudienceUpload"
    labels: list[str] | None = None
    tags: list[str] | None = None
    profile_ingestion: bool = True


class ExternalPatch(AEPModel):
    """Body of a change; members that are there replace the stored ones."""

    description: str | None = None
    labels: list[str] | None = None
    fields: Fields | None = None
    ttl_in_days: Days | None = None


class ExternalRun(AEPModel):
    """Body of a run. Times are in seconds since 1970."""

    data_filter_start_time: Annotated[int, BeforeValidator(_number), Field(ge=0)]
    data_filter_end_time: Annotated[int, BeforeValidator(_number), Field(ge=0)] | None = None
    differential_ingestion: bool = True
