"""Reading the bodies of AEP's calls before they are sent anywhere."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ValidationError

from app.aep.models import AEPModel, read_model, validation_messages
from app.errors import InvalidRequest

Model = TypeVar("Model", bound=AEPModel)


def read_body(model: type[Model], document: Any) -> Model:
    """Return ``document`` as a model of AEP's contract. Raises `InvalidRequest` with every fault that it has."""
    try:
        return read_model(model, document)
    except ValidationError as problem:
        faults = problem.errors()
        path = tuple(str(part) for part in faults[0]["loc"]) if faults else ()
        raise InvalidRequest("; ".join(text for _, text in validation_messages(problem)), path=path) from None
