"""The verifier that an auditor reads: what it finds, and that it needs nothing but Python."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from app.audit import verifier
from app.audit.chain import keepable

LIMIT = 2**53 - 1
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-LIMIT, LIMIT) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(max_codepoint=0xD7FF)), inner, max_size=4)
    ),
    max_leaves=12,
)
anything = st.recursive(
    plain | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(plain)
def test_the_fast_form_is_canonical_for_what_events_hold(value: Any) -> None:
    assert verifier._fast(value).encode() == rfc8785.dumps(value)


@given(anything)
@settings(max_examples=300)
def test_the_slow_form_is_canonical_for_everything(value: Any) -> None:
    assert verifier.canonical(keepable(value)).encode() == rfc8785.dumps(keepable(value))


@pytest.mark.parametrize(
    "number", [1e21, 1e-7, 5e-324, 123456.789, 0.000001, -0.0, 100.0, 1.7976931348623157e308, 1e20]
)
def test_numbers_are_written_as_the_standard_says(number: float) -> None:
    assert verifier.canonical(number).encode() == rfc8785.dumps(number)


def made(count: int, **detail: Any) -> list[dict[str, Any]]:
    """A chain of events."""
    events, previous = [], verifier.GENESIS
    for sequence in range(1, count + 1):
        event = {"sequence": sequence, "detail": {"n": sequence, **detail}, "id": "é", "previousHash": previous}
        previous = verifier.event_hash(event)
        events.append(event | {"hash": previous})
    return events


def lines(events: list[dict[str, Any]]) -> list[bytes]:
    return [rfc8785.dumps(event) + b"\n" for event in events]


def relinked(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The chain made anew over changed events, as somebody with all rights could do it."""
    previous, result = verifier.GENESIS, []
    for number, event in enumerate(events, 1):
        bare = {**event, "sequence": number, "previousHash": previous}
        del bare["hash"]
        previous = verifier.event_hash(bare)
        result.append(bare | {"hash": previous})
    return result


def changed(events: list[dict[str, Any]]) -> None:
    events[3]["detail"] = {"n": "other"}


def rehashed(events: list[dict[str, Any]]) -> None:
    bare = {name: value for name, value in events[3].items() if name != "hash"} | {"detail": {}}
    events[3] = bare | {"hash": verifier.event_hash(bare)}


def member_added(events: list[dict[str, Any]]) -> None:
    events[3]["more"] = 1


@pytest.mark.parametrize(
    ("harm", "kind", "sequence"),
    [
        (changed, "changed", 4),
        (rehashed, "changed", 5),
        (member_added, "changed", 4),
        (lambda events: events.pop(3), "missing", 4),
        (lambda events: events.insert(4, events.pop(3)), "reordered", 4),
        (lambda events: events.insert(6, events.pop(3)), "reordered", 4),
        (lambda events: events.insert(5, dict(events[2])), "reordered", 6),
        (lambda events: events[3].pop("hash"), "changed", 4),
        (lambda events: events[3].update(sequence="4"), "changed", 4),
    ],
)
@pytest.mark.parametrize("as_lines", [True, False])
def test_the_first_broken_event_and_the_kind_of_break_are_told(
    harm: Callable[[list[dict[str, Any]]], object], kind: str, sequence: int, as_lines: bool
) -> None:
    events = made(9)
    harm(events)
    report = verifier.verify_chain(lines(events) if as_lines else events)
    assert report.broken is not None
    assert (report.broken.kind, report.broken.sequence) == (kind, sequence)


def test_a_whole_chain_is_whole_also_when_somebody_has_formatted_its_lines() -> None:
    events = made(9, share=0.25)
    for given_lines in (lines(events), [json.dumps(event, indent=1).encode() for event in events], events):
        report = verifier.verify_chain(given_lines)
        assert (report.broken, report.events, report.last_hash) == (None, 9, events[-1]["hash"])


def test_a_member_that_is_named_twice_is_a_change() -> None:
    told = lines(made(3))
    told[1] = told[1].replace(b'{"detail"', b'{"id":"evil","detail"')
    report = verifier.verify_chain(told)
    assert report.broken == verifier.Break(
        "changed", 2, "Event 2 cannot be read: ValueError('a member is named twice')."
    )


def test_a_line_that_is_no_json_is_a_change() -> None:
    for bad in (
        b"",
        b"[]",
        b"nothing",
        b"\xff",
        b"[" * 100_000,
        b'{"sequence": 1, "previousHash": "", "hash": "\\ud800"}',
    ):
        report = verifier.verify_chain([lines(made(1))[0], bad])
        assert report.broken is not None
        assert report.broken.kind in {"changed", "reordered"}


# --- Signatures --------------------------------------------------------------------------------------------------


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100))
@settings(max_examples=20, deadline=None)
def test_signatures_of_a_known_library_are_good_and_changed_ones_are_not(seed: bytes, message: bytes) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert verifier.signature_is_good(public, message, signature)
    assert not verifier.signature_is_good(public, message + b".", signature)
    assert not verifier.signature_is_good(public, message, signature[:40] + bytes([signature[40] ^ 1]) + signature[41:])
    # A second form of the same signature, with the order of the group added, is refused.
    scalar = int.from_bytes(signature[32:], "little") + verifier._ORDER
    assert not verifier.signature_is_good(public, message, signature[:32] + scalar.to_bytes(32, "little"))


# --- By itself ---------------------------------------------------------------------------------------------------


def alone(file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the verifier in an interpreter that sees the standard library and this one file."""
    command = [sys.executable, "-I", "-S", verifier.__file__, str(file), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_verifier_runs_alone(tmp_path: Path) -> None:
    events = made(20)
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"".join(lines(events)))
    done = alone(file, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["ok"]
    file.write_bytes(b"".join(lines(events)).replace(b'"n":7', b'"n":8'))
    done = alone(file)
    assert done.returncode == 1
    assert done.stdout.startswith("BROKEN (changed) at event 7: ")
    done = alone(tmp_path / "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot be read" in done.stderr


def test_a_key_that_is_no_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"".join(lines(made(1))))
    good = verifier.key_text(Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    other = base64.b64encode(b"\x01" + bytes(32)).decode()
    for key in ("nonsense", good.rpartition("+")[0] + "+" + other, good[:-4]):
        assert alone(file, "--public-key", key).returncode == 2
