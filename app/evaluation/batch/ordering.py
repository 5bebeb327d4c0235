"""The order in which rules can be evaluated: after the segments that they ask for."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

from app.errors import InvalidRequest
from app.evaluation.batch import formulas
from app.evaluation.batch.formulas import Formula


def ordered(rules: Mapping[str, Formula]) -> list[str]:
    """Return the rules' keys so that each comes after those it asks for, as far as they are among them.

    Raises `InvalidRequest` when rules ask for each other in a circle.
    """
    uses = {key: {one for one in formulas.segments(formula) if one in rules} for key, formula in rules.items()}
    try:
        return list(TopologicalSorter(uses).static_order())
    except CycleError as error:
        # The library names the circle from what is used to what uses it.
        circle = " -> ".join(reversed(error.args[1]))
        raise InvalidRequest(
            f"The segments use each other in a circle: {circle}.", hint="Take one inSegment out of the circle."
        ) from error
