"""Checks an exported audit, with the standard library of Python 3.11 or newer and nothing else.

    python verifier.py FILE [--public-key KEY] [--json]

FILE is a bundle (a zip file or the folder that was made of it) or a file of events, one JSON object on a line. What is
checked, in this order:

1. Every event has the hash that its content gives: SHA-256 over its canonical JSON (RFC 8785) without the member
   ``hash``. It is numbered one more than the event before, and its ``previousHash`` is the hash of that event.
2. Every checkpoint carries a signature (Ed25519, RFC 8032) of a trusted key over its text, a signed note as the
   transparency logs use it: origin, number of events, root of the Merkle tree (RFC 6962) over the hashes so far, time.
3. The events give the roots that the checkpoints name. For an extract, whose beginning is not in the file, the proofs
   in the bundle tie its last event to a checkpoint, and the chain ties the other events to that one.

Exit codes: 0 all is well, 1 something is broken, 2 FILE cannot be read. Without ``--public-key`` the key is taken
from the bundle; whoever can forge a bundle can put his own key into it, so compare the key with one from elsewhere.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import contextlib
import hashlib
import json
import math
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

GENESIS = "0" * 64
KEY_NAME = "segment-gateway"

# Equal to RFC 8785 for text, integers below 2**53, booleans, null, lists and objects with names in the basic plane.
# `canonical` is equal for all values; it is asked when the hash is not the one of the fast form.
_fast = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True, check_circular=False).encode


@dataclass(frozen=True)
class Break:
    """The first thing that is not as it was written.

    ``kind`` is changed, missing, reordered or cut for events; checkpoint, rewritten or proof for what stands in the
    checkpoints. ``sequence`` is the number of the event at which the chain stops being provable.
    """

    kind: str
    sequence: int
    message: str


@dataclass
class Report:
    """What was found. ``covered`` is the last event that a signed checkpoint proves, 0 when there is none."""

    events: int = 0
    first: int = 0
    last: int = 0
    last_hash: str = GENESIS
    checkpoints: int = 0
    covered: int = 0
    keys: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    broken: Break | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A statement that the chain had ``size`` events and this root at a time. ``note`` is the text with signatures."""

    origin: str
    size: int
    root: str
    at: str
    note: str


class Unreadable(Exception):
    """The input is not what it should be at all."""


# --- Canonical JSON (RFC 8785) -------------------------------------------------------------------------------------


def canonical(value: Any) -> str:
    """Return the canonical text of any JSON value. Raises `ValueError` for numbers that are none."""
    match value:
        case float():
            return _number(value)
        case list():
            return "[" + ",".join(canonical(one) for one in value) + "]"
        case dict():
            # Names are sorted by their UTF-16 code units, not by their code points.
            names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
            return "{" + ",".join(f"{_fast(name)}:{canonical(value[name])}" for name in names) + "}"
    return _fast(value)


def _number(value: float) -> str:
    """Return a number as ECMAScript writes it."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is no JSON number")
    if value == 0:
        return "0"
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    zeros = len(whole + fraction) - len(digits)
    point = len(whole) - zeros + int(exponent or 0)  # where the decimal point stands, counted from the first digit
    digits = digits.rstrip("0")
    sign = "-" if value < 0 else ""
    if 0 < point <= 21:
        return sign + (digits.ljust(point, "0") if len(digits) <= point else f"{digits[:point]}.{digits[point:]}")
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{point - 1:+d}"


def event_hash(event: dict[str, Any]) -> str:
    """Return the hash of an event without its member ``hash``, in hex."""
    return hashlib.sha256(canonical(event).encode()).hexdigest()


def _is_whole(event: dict[str, Any], recorded: str) -> bool:
    """Tell whether an event without its member ``hash`` has this hash; the fast form is tried first."""
    return hashlib.sha256(_fast(event).encode()).hexdigest() == recorded or event_hash(event) == recorded


# --- Merkle tree (RFC 6962, section 2.1) ---------------------------------------------------------------------------


def leaf_hash(event_hash_hex: str) -> bytes:
    """Return the leaf of an event."""
    return hashlib.sha256(b"\x00" + bytes.fromhex(event_hash_hex)).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the node over two others."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: the roots of its complete subtrees, largest first."""

    def __init__(self, size: int = 0, nodes: Sequence[bytes] = ()) -> None:
        if len(nodes) != size.bit_count():
            raise ValueError("a frontier has a node for each bit of its size")
        self.size = size
        self.nodes = list(nodes)

    def append(self, event_hash_hex: str) -> None:
        """Add the leaf of an event."""
        node, carry = leaf_hash(event_hash_hex), self.size
        while carry & 1:
            node = node_hash(self.nodes.pop(), node)
            carry >>= 1
        self.nodes.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Return the root of the tree so far."""
        if not self.nodes:
            return hashlib.sha256(b"").digest()
        node = self.nodes[-1]
        for left in reversed(self.nodes[:-1]):
            node = node_hash(left, node)
        return node


def includes(event_hash_hex: str, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Tell whether a proof shows an event to be leaf ``index`` (from 0) of the tree (RFC 9162, section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, place, last = leaf_hash(event_hash_hex), index, size - 1
    for one in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            node = node_hash(one, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, one)
        place, last = place >> 1, last >> 1
    return last == 0 and node == root


def consistent(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether a proof shows the older tree to be the beginning of the newer one (RFC 9162, section 2.1.4.2)."""
    if not 0 < old_size <= size:
        return False
    if old_size == size:
        return not proof and old_root == root
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    place, last = old_size - 1, size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = path[0]
    for one in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = node_hash(one, old), node_hash(one, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, one)
        place, last = place >> 1, last >> 1
    return last == 0 and old == old_root and new == root


# --- Ed25519 (RFC 8032, section 5.1); only checking, so nothing here is secret ---------------------------------------

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_Point = tuple[int, int, int, int]


def _add(a: _Point, b: _Point) -> _Point:
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % _P, (a[1] + a[0]) * (b[1] + b[0]) % _P
    g, h = 2 * a[3] * b[3] * _D % _P, 2 * a[2] * b[2] % _P
    i, j, k, m = f - e, h - g, h + g, f + e
    return (i * j % _P, k * m % _P, j * k % _P, i * m % _P)


def _times(scalar: int, point: _Point) -> _Point:
    total: _Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = _add(total, point)
        point, scalar = _add(point, point), scalar >> 1
    return total


def _point(encoded: bytes) -> _Point | None:
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return (x, y, 1, x * y % _P)


_BASE = _point((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))


def signature_is_good(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether an Ed25519 signature belongs to a message and a key."""
    if len(public_key) != 32 or len(signature) != 64 or _BASE is None:
        return False
    key, nonce = _point(public_key), _point(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or nonce is None or scalar >= _ORDER:
        return False
    digest = int.from_bytes(hashlib.sha512(signature[:32] + public_key + message).digest(), "little") % _ORDER
    left, right = _times(scalar, _BASE), _add(nonce, _times(digest, key))
    return (left[0] * right[2] - right[0] * left[2]) % _P == 0 and (left[1] * right[2] - right[1] * left[2]) % _P == 0


# --- Checkpoints: signed notes ---------------------------------------------------------------------------------------


def key_id(public_key: bytes, name: str = KEY_NAME) -> bytes:
    """Return the four bytes that name a key in a signature line."""
    return hashlib.sha256(name.encode() + b"\n\x01" + public_key).digest()[:4]


def key_text(public_key: bytes, name: str = KEY_NAME) -> str:
    """Return a public key as one line of text: name, id and key."""
    encoded = base64.b64encode(b"\x01" + public_key).decode()
    return f"{name}+{key_id(public_key, name).hex()}+{encoded}"


def read_key(text: str) -> bytes:
    """Return the public key of such a line. Raises `Unreadable`."""
    try:
        name, named, encoded = text.strip().split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise Unreadable("A public key reads NAME+ID+BASE64, as 'segment-gateway audit key' prints it.") from None
    if raw[:1] != b"\x01" or len(raw) != 33 or key_id(raw[1:], name).hex() != named:
        raise Unreadable("The public key does not belong to the id that stands before it.")
    return raw[1:]


def checkpoint_text(origin: str, size: int, root: bytes, at: str) -> str:
    """Return what is signed."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n{at}\n"


def signature_line(public_key: bytes, signature: bytes, name: str = KEY_NAME) -> str:
    """Return the line that follows the text and an empty line."""
    return f"— {name} {base64.b64encode(key_id(public_key, name) + signature).decode()}\n"


def read_checkpoint(note: str) -> Checkpoint:
    """Return what a signed note says; the signature is not looked at. Raises `Unreadable`."""
    try:
        origin, size, root, at = note.partition("\n\n")[0].split("\n")
        return Checkpoint(origin, int(size), base64.b64decode(root, validate=True).hex(), at, note)
    except (ValueError, binascii.Error):
        raise Unreadable("A checkpoint does not read origin, size, root, time.") from None


def is_signed(note: str, public_keys: Iterable[bytes]) -> bool:
    """Tell whether one of the keys has signed a note."""
    text, _, signatures = note.partition("\n\n")
    by_id = {key_id(key): key for key in public_keys}
    for line in signatures.splitlines():
        with contextlib.suppress(ValueError):
            _, name, encoded = line.split(" ")
            raw = base64.b64decode(encoded, validate=True)
            key = by_id.get(raw[:4])
            if name == KEY_NAME and key and signature_is_good(key, f"{text}\n".encode(), raw[4:]):
                return True
    return False


# --- The chain -------------------------------------------------------------------------------------------------------


def read_event(line: bytes) -> dict[str, Any]:
    """Return the event of a line. Raises `ValueError` when it is no object, or names a member twice."""
    event = json.loads(line)
    if not isinstance(event, dict):
        raise ValueError("not an object")
    return event


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is named twice")
    return found


def _line_is_whole(line: bytes, recorded: str) -> bool:
    """Tell whether a line has the hash that it records.

    An export writes canonical JSON, so that the line without its member ``hash`` is what was hashed, byte by byte.
    Only when that does not give the hash is the canonical form made anew, from a line that somebody has formatted.
    """
    raw = line.rstrip(b"\r\n").replace(b'"hash":"%s",' % recorded.encode(), b"", 1)
    if hashlib.sha256(raw).hexdigest() == recorded:
        return True
    event = json.loads(line, object_pairs_hook=_unique)
    event.pop("hash", None)
    return event_hash(event) == recorded


class ChainVerifier:
    """Takes the events of a chain in order, as lines or as objects, and keeps the report up to date.

    The roots of ``checkpoints`` are compared on the way; their signatures are the matter of `check_signatures`.
    """

    def __init__(self, checkpoints: Sequence[Checkpoint] = (), watched: Iterable[int] = ()) -> None:
        self.report = Report()
        self.seen: dict[int, str] = {}  # the hashes of the events that are watched
        self._watched = frozenset(watched)
        self._tree = Frontier()
        self._awaited = sorted(checkpoints, key=lambda one: one.size, reverse=True)
        self._expected = 0
        self._expected_hash = GENESIS

    def expect(self, sequence: int) -> None:
        """Say with which number the chain must begin; without it the first event decides."""
        self._expected = self.report.first = sequence

    def take(self, entry: bytes | dict[str, Any]) -> None:
        """Check the next event. After a break only the place of a missing event is still looked for."""
        broken = self.report.broken
        if broken is not None:
            if broken.kind == "missing":
                self._look_for(broken.sequence, entry)
            return
        try:
            event = read_event(entry) if isinstance(entry, bytes) else dict(entry)
            sequence, recorded, previous = event["sequence"], event.pop("hash"), event["previousHash"]
            if not (isinstance(sequence, int) and isinstance(recorded, str) and isinstance(previous, str)):
                raise ValueError("its number and hashes are of other kinds")
            self._begin(sequence, previous)
            if sequence != self._expected:
                self._out_of_order(sequence)
                return
            if not (_line_is_whole(entry, recorded) if isinstance(entry, bytes) else _is_whole(event, recorded)):
                self._break("changed", sequence, f"The content of event {sequence} does not give its hash.")
                return
        except (ValueError, KeyError, RecursionError) as problem:
            place = self._expected or 1
            self._break("changed", place, f"Event {place} cannot be read: {problem!r}.")
            return
        if previous != self._expected_hash:
            message = f"Event {sequence} does not follow the event before it: one of the two was written anew."
            self._break("changed", sequence, message)
            return
        self._accept(sequence, recorded)

    def _begin(self, sequence: int, previous: str) -> None:
        if not self._expected:
            self._expected = self.report.first = sequence
        if not self.report.events and self._expected > 1:
            self._expected_hash = previous  # an extract: what came before is not here

    def _accept(self, sequence: int, recorded: str) -> None:
        self._expected, self._expected_hash = sequence + 1, recorded
        report = self.report
        report.events, report.last, report.last_hash = report.events + 1, sequence, recorded
        if sequence in self._watched:
            self.seen[sequence] = recorded
        if report.first != 1:
            return
        self._tree.append(recorded)
        while self._awaited and self._awaited[-1].size == sequence:
            if self._awaited.pop().root != self._tree.root().hex():
                message = f"The first {sequence} events are not those that were there at the checkpoint."
                self._break("rewritten", report.covered + 1, message)
                return
            report.covered = sequence

    def _out_of_order(self, found: int) -> None:
        expected = self._expected
        if found < expected:
            self._break("reordered", expected, f"Event {found} stands where event {expected} should be.")
        else:
            message = f"Event {expected} is missing: event {found} follows event {expected - 1}."
            self._break("missing", expected, message)

    def _look_for(self, sequence: int, entry: bytes | dict[str, Any]) -> None:
        with contextlib.suppress(ValueError, KeyError):
            event = read_event(entry) if isinstance(entry, bytes) else entry
            if event["sequence"] == sequence:
                self._break("reordered", sequence, f"Event {sequence} stands behind events that came after it.")

    def _break(self, kind: str, sequence: int, message: str) -> None:
        self.report.broken = Break(kind, sequence, message)


def verify_chain(
    events: Iterable[bytes | dict[str, Any]],
    checkpoints: Sequence[Checkpoint] = (),
    *,
    begins_with: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Check events in order against each other and against the roots of checkpoints.

    ``begins_with`` is the number of the first event where it is known. ``progress`` hears the number of events now
    and then.
    """
    verifier = ChainVerifier(checkpoints)
    if begins_with is not None:
        verifier.expect(begins_with)
    return _feed(verifier, events, progress)


def _feed(
    verifier: ChainVerifier, events: Iterable[bytes | dict[str, Any]], progress: Callable[[int], None] | None
) -> Report:
    take = verifier.take
    for number, entry in enumerate(events, 1):
        take(entry)
        if progress is not None and not number & 4095:
            progress(number)
    return verifier.report


def check_signatures(report: Report, checkpoints: Sequence[Checkpoint], keys: Sequence[bytes]) -> None:
    """Note in the report how many checkpoints are signed by a trusted key, and the first one that is not."""
    for one in sorted(checkpoints, key=lambda one: one.size):
        if not is_signed(one.note, keys):
            message = f"The checkpoint over {one.size} events carries no signature of a trusted key."
            report.broken = report.broken or Break("checkpoint", one.size, message)
            return
        report.checkpoints += 1


def check_end(report: Report, checkpoints: Sequence[Checkpoint], *, is_extract: bool) -> None:
    """Note in the report when a checkpoint knows of more events than there are."""
    known = max((one.size for one in checkpoints), default=0)
    if report.broken is None and known > report.last:
        if is_extract:
            report.remarks.append(f"This is an extract: a checkpoint knows of {known} events in all.")
            return
        message = f"The chain ends after event {report.last}, but a checkpoint knows of {known} events."
        report.broken = Break("cut", report.last + 1, message)


# --- Bundles ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bundle:
    """The files of an export, from a zip file, a folder, or a lone file of events."""

    path: Path

    @contextlib.contextmanager
    def lines(self) -> Iterator[Iterator[bytes]]:
        """Open the events, one a line."""
        if self.path.is_dir():
            with (self.path / "events.ndjson").open("rb") as file:
                yield (line for line in file if line.strip())
        elif zipfile.is_zipfile(self.path):
            with zipfile.ZipFile(self.path) as archive, archive.open("events.ndjson") as member:
                yield (line for line in member if line.strip())
        else:
            with self.path.open("rb") as file:
                yield (line for line in file if line.strip())

    def text(self, name: str) -> str:
        """Return a file of the bundle; empty when it has none of that name."""
        if self.path.is_dir():
            file = self.path / name
            return file.read_text(encoding="utf-8") if file.exists() else ""
        if not zipfile.is_zipfile(self.path):
            return ""
        with zipfile.ZipFile(self.path) as archive:
            return archive.read(name).decode() if name in archive.namelist() else ""


def verify_bundle(
    path: Path, public_keys: Sequence[str] = (), *, progress: Callable[[int], None] | None = None
) -> Report:
    """Check an export. Raises `Unreadable`, `OSError` or `zipfile.BadZipFile` when it is none."""
    bundle = Bundle(path)
    try:
        manifest = json.loads(bundle.text("manifest.json") or "{}")
        checkpoints = [
            read_checkpoint(json.loads(line)["note"]) for line in bundle.text("checkpoints.ndjson").splitlines()
        ]
        proofs = json.loads(bundle.text("proofs.json") or "{}")
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise Unreadable(f"A file of the bundle cannot be read: {problem}.") from problem
    if not isinstance(manifest, dict) or not isinstance(proofs, dict):
        raise Unreadable("A file of the bundle is no JSON object.")
    keys = [read_key(one) for one in (public_keys or bundle.text("public-keys.txt").splitlines()) if one.strip()]
    with bundle.lines() as lines:
        inclusion = _inclusion_proofs(proofs)
        chain = ChainVerifier(checkpoints, (one["sequence"] for one in inclusion))
        if isinstance(manifest.get("first"), int):
            chain.expect(manifest["first"])
        report = _feed(chain, lines, progress)
    _check_last(report, manifest.get("last"))
    _check_inclusion(chain, checkpoints, inclusion)
    _check_consistency(report, checkpoints, proofs)
    is_extract = not manifest.get("complete", not checkpoints)
    conclude(report, checkpoints, keys, trusted=bool(public_keys), is_extract=is_extract)
    return report


def conclude(
    report: Report,
    checkpoints: Sequence[Checkpoint],
    keys: Sequence[bytes],
    *,
    trusted: bool,
    is_extract: bool = False,
) -> None:
    """Complete a report of a chain by the checkpoints' signatures, the chain's end, and what should be remarked.

    ``trusted`` tells that the keys came by another way than the checkpoints.
    """
    report.keys = [key_text(key) for key in keys]
    check_signatures(report, checkpoints, keys)
    check_end(report, checkpoints, is_extract=is_extract)
    _remark(report, trusted=trusted)


def _check_last(report: Report, last: Any) -> None:
    if report.broken is None and isinstance(last, int) and report.last < last:
        message = f"The file ends after event {report.last}, but was made to hold events up to {last}."
        report.broken = Break("cut", report.last + 1, message)


def _inclusion_proofs(proofs: dict[str, Any]) -> list[dict[str, Any]]:
    found = proofs.get("inclusion", [])
    kinds = {"sequence": int, "hash": str, "size": int, "path": list}
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and all(isinstance(one.get(name), kind) for name, kind in kinds.items()) for one in found
    ):
        raise Unreadable("The proofs of the bundle cannot be read.")
    return found


def _check_inclusion(chain: ChainVerifier, checkpoints: Sequence[Checkpoint], proofs: Sequence[dict[str, Any]]) -> None:
    """Tie events of an extract to the roots; what comes before such an event is tied to it by the chain."""
    report = chain.report
    roots = {one.size: bytes.fromhex(one.root) for one in checkpoints}
    for one in proofs:
        sequence = one["sequence"]
        if report.broken is not None:
            return
        try:
            path = [bytes.fromhex(node) for node in one["path"]]
            holds = chain.seen.get(sequence) == one["hash"] and includes(
                one["hash"], sequence - 1, one["size"], path, roots[one["size"]]
            )
        except (KeyError, TypeError, ValueError):
            holds = False
        if not holds:
            report.broken = Break("proof", sequence, f"The proof of event {sequence} does not hold.")
            return
        report.covered = max(report.covered, sequence)


def _check_consistency(report: Report, checkpoints: Sequence[Checkpoint], proofs: dict[str, Any]) -> None:
    if report.broken is not None:
        return
    roots = {one.size: bytes.fromhex(one.root) for one in checkpoints}
    try:
        for one in proofs.get("consistency", ()):
            path = [bytes.fromhex(node) for node in one["path"]]
            if not consistent(one["from"], roots[one["from"]], one["to"], roots[one["to"]], path):
                message = f"The checkpoint over {one['from']} events is not the beginning of the one over {one['to']}."
                report.broken = Break("proof", one["from"], message)
                return
    except (KeyError, TypeError, ValueError) as problem:
        report.broken = Break("proof", report.first, f"The proofs cannot be read: {problem!r}.")


def _remark(report: Report, *, trusted: bool) -> None:
    if report.first > 1:
        report.remarks.append(f"The file begins with event {report.first}; what came before is not in it.")
    if report.checkpoints and not trusted:
        report.remarks.append("The key came with the bundle: compare it with the one that you were given elsewhere.")
    if report.broken is None and report.covered < report.last:
        count = report.last - report.covered
        report.remarks.append(f"{count} events at the end are under no checkpoint: they could be cut off or replaced.")


# --- By itself -------------------------------------------------------------------------------------------------------


def report_document(report: Report) -> dict[str, Any]:
    """Return a report as JSON."""
    document = asdict(report)
    document["lastHash"] = document.pop("last_hash")
    return {"ok": report.broken is None, **document}


def report_lines(report: Report) -> Iterator[str]:
    """Yield a report as lines for people."""
    if report.broken is not None:
        yield f"BROKEN ({report.broken.kind}) at event {report.broken.sequence}: {report.broken.message}"
    else:
        span = f", {report.first} to {report.last}" if report.events else ""
        yield f"The chain is whole: {report.events} events{span}."
    yield f"{report.checkpoints} signed checkpoints; events up to {report.covered} are proved by one."
    yield from (f"Key: {key}" for key in report.keys)
    yield from (f"Note: {remark}" for remark in report.remarks)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the export that the command line names."""
    parser = argparse.ArgumentParser(description="Checks an exported audit.", epilog="Exit codes: 0, 1 broken, 2.")
    parser.add_argument("file", type=Path, help="a bundle (zip or folder) or a file of events, one a line")
    parser.add_argument("--public-key", action="append", default=[], help="trust this key, not the bundle's")
    parser.add_argument("--json", action="store_true", help="write one JSON object")
    given = parser.parse_args(arguments)
    try:
        report = verify_bundle(given.file, given.public_key)
    except (Unreadable, OSError, KeyError, UnicodeDecodeError, zipfile.BadZipFile) as problem:
        print(f"{given.file} cannot be read: {problem}", file=sys.stderr)
        return 2
    print(json.dumps(report_document(report)) if given.json else "\n".join(report_lines(report)))
    return 0 if report.broken is None else 1


if __name__ == "__main__":
    sys.exit(main())
