"""What a document may cost is decided quickly, whatever it unfolds to."""

from __future__ import annotations

import time

import pytest
from graphql import GraphQLError, parse

from app.graphql.limits import refuse_expensive


def fan(levels: int, width: int) -> str:
    """Fragments that each spread the next one ``width`` times: short to write, ``width ** levels`` to write out."""
    spreads = [" ".join([f"...F{level + 1}"] * width) for level in range(levels)]
    fragments = [f"fragment F{level} on Query {{ {spread} }}" for level, spread in enumerate(spreads)]
    return " ".join([*fragments, f"fragment F{levels} on Query {{ __typename }}", "{ ...F0 }"])


@pytest.mark.parametrize(("levels", "width"), [(10, 8), (12, 10), (13, 20)])
def test_a_fan_of_fragments_is_refused_at_once(levels: int, width: int) -> None:
    document = parse(fan(levels, width))
    started = time.process_time()
    with pytest.raises(GraphQLError):
        refuse_expensive(document)
    assert time.process_time() - started < 1


def test_an_ordinary_document_with_fragments_is_admitted() -> None:
    refuse_expensive(parse("fragment F on Viewer { name } { viewer { ...F tenant { slug } } }"))
