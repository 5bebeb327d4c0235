"""Sets of profile numbers between DuckDB and roaring bitmaps, without touching single numbers.

DuckDB gives a set as a bit string (``bitstring_agg``), first number highest bit first. The portable roaring format
keeps numbers by containers of 65,536; one with more than 4,096 numbers is 8 KiB of bits, lowest bit first. So a bit
string becomes a bitmap by turning bytes round and writing headers. A container with fewer numbers is written inverted
and turned back by the library, which then chooses the right form.

Source: the format specification of RoaringBitmap (serialized format without run containers).
"""

from __future__ import annotations

import struct
from typing import Final

from pyroaring import BitMap

CONTAINER: Final = 65_536
"""Numbers in a container; ranges of bit strings begin and end at multiples of it."""

_CONTAINER_BYTES: Final = CONTAINER // 8
_COOKIE: Final = 12_346
_SPARSE: Final = 4_096
_ALL: Final = (1 << CONTAINER) - 1
_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def whole_containers(numbers: range) -> range:
    """Return the smallest range of whole containers around a range of numbers."""
    start = numbers.start // CONTAINER * CONTAINER
    return range(start, max(start + CONTAINER, -(-numbers.stop // CONTAINER) * CONTAINER))


def bitstring_sql(column: str, numbers: range) -> str:
    """Return the aggregate that collects a column's numbers, all within `whole_containers`, as a BLOB of bits."""
    return f"bitstring_agg({column}, {numbers.start}, {numbers.stop - 1})::BLOB"


def from_bitstring(bits: bytes | None, numbers: range) -> BitMap:
    """Return the set that `bitstring_sql` collected over the same range; None is the empty set."""
    if bits is None:
        return BitMap()
    if len(bits) * 8 != len(numbers) or numbers.start % CONTAINER or numbers.stop % CONTAINER:
        raise ValueError("a bit string needs the range of whole containers with which it was collected")
    turned = bits.translate(_REVERSED)
    descriptions, containers, inverted = [], [], []
    for begin in range(0, len(turned), _CONTAINER_BYTES):
        container = turned[begin : begin + _CONTAINER_BYTES]
        as_number = int.from_bytes(container, "little")
        size = as_number.bit_count()
        if not size:
            continue
        key = (numbers.start + begin * 8) // CONTAINER
        if size <= _SPARSE:
            inverted.append(key)
            container = (as_number ^ _ALL).to_bytes(_CONTAINER_BYTES, "little")
            size = CONTAINER - size
        descriptions.append(struct.pack("<HH", key, size - 1))
        containers.append(container)
    bitmap = BitMap.deserialize(_serialized(descriptions, containers))
    for key in inverted:
        bitmap.flip_inplace(key * CONTAINER, (key + 1) * CONTAINER)
    return bitmap


def _serialized(descriptions: list[bytes], containers: list[bytes]) -> bytes:
    count = len(containers)
    first = 8 + 8 * count
    offsets = struct.pack(f"<{count}I", *(first + index * _CONTAINER_BYTES for index in range(count)))
    return b"".join([struct.pack("<II", _COOKIE, count), *descriptions, offsets, *containers])
