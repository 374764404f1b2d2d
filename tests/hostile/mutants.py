"""Images with something changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

_MOST_BYTES = 100_000
_MARKS = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x00", b"\x00\x00\x0f\x00")


def mutants(images: Mapping[str, bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Mutants of those images that are small enough to be changed often; a seed gives the same."""
    rng = np.random.default_rng(seed)
    names = sorted(name for name, data in images.items() if 8 < len(data) < _MOST_BYTES)
    for number in range(count):
        name = names[int(rng.integers(len(names)))]
        other = images[names[int(rng.integers(len(names)))]]
        data = images[name]
        for _ in range(int(rng.integers(1, 4))):
            data = _changed(data, other, rng)
        yield f"mutant {number} of {name}", data


def _changed(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    if not data:
        return other
    # Half of the places lie in the first bytes, where headers are.
    reach = len(data) if rng.random() < 0.5 else min(len(data), 128)
    at = int(rng.integers(reach))
    length = int(rng.integers(1, 64))
    match int(rng.integers(7)):
        case 0:  # some bytes
            changed = bytearray(data)
            for place in rng.integers(0, reach, length):
                changed[place] = int(rng.integers(256))
            return bytes(changed)
        case 1:  # one bit
            return data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :]
        case 2:  # an end
            return data[:at]
        case 3:  # the end of another one
            return data[:at] + other[int(rng.integers(len(other))) :]
        case 4:  # a piece twice
            return data[: at + length] + data[at:]
        case 5:  # a piece less
            return data[:at] + data[at + length :]
        case _:  # an extreme number
            return data[:at] + _MARKS[int(rng.integers(len(_MARKS)))] + data[at + 4 :]
