"""Whether the database `meta` of a store says what it can say; and which copy of it to believe.

LMDB copies a page before it changes it, so earlier copies of the few values lie about in the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from shard_service.store.meta import CHECKSUM, Identity, meta_checksum
from shard_service.store.records import FORMAT_VERSION

COMMITS, NEXT_SEQUENCE, CODEBOOK, FORMAT = b"commits", b"next_sequence", b"codebook", b"format"
OPENING = b"opening"
_SIZES = {
    FORMAT: 4,
    b"hash_start": 8,
    b"hash_end": 8,
    b"dim": 4,
    NEXT_SEQUENCE: 8,
    COMMITS: 8,
}
_TEXTS = (b"partition_id", b"fingerprint", b"encoder")
IDENTITY_KEYS = (b"partition_id", b"hash_start", b"hash_end", b"fingerprint", b"encoder", b"dim")
REQUIRED_KEYS = frozenset((*_SIZES, *_TEXTS))
_MAX_STEP = 1 << 32
_MAX_SEQUENCE = 1 << 62
_MAX_DIM = 4096

Values = Mapping[bytes, bytes]


def value_faults(values: Values) -> list[str]:
    """What of a copy of `meta` cannot be: missing, of another size, out of range, or unlike its
    checksum where it has one."""
    faults = [f"{key.decode()} is missing" for key in sorted(REQUIRED_KEYS - values.keys())]
    if faults:
        return faults
    for key, size in _SIZES.items():
        if len(values[key]) != size:
            faults.append(f"{key.decode()} has {len(values[key])} bytes, not {size}")
    for key in _TEXTS:
        text = values[key].decode("utf-8", "replace")
        if not text or not text.isprintable() or "\ufffd" in text:
            faults.append(f"{key.decode()} is no text")
    if not 1 <= number(values, b"dim") <= _MAX_DIM:
        faults.append("dim is out of range")
    if number(values, b"hash_start") > number(values, b"hash_end"):
        faults.append("the hash range is empty")
    if number(values, NEXT_SEQUENCE) >= _MAX_SEQUENCE:
        faults.append("next_sequence is out of range")
    if OPENING in values and len(values[OPENING]) != 8:
        faults.append(f"opening has {len(values[OPENING])} bytes, not 8")
    codebook = values.get(CODEBOOK, b"")
    if not all(byte in b"0123456789abcdef" for byte in codebook):
        faults.append("codebook is no digest")
    if CHECKSUM in values and values[CHECKSUM] != meta_checksum(values):
        faults.append("the values fail their checksum")
    return faults


def differences(newest: Values, previous: Values) -> list[str]:
    """What `newest` cannot say if `previous`, one transaction earlier, was right."""
    faults = [
        f"{key.decode()} has changed"
        for key in IDENTITY_KEYS
        if key in previous and newest.get(key) != previous[key]
    ]
    before, now = number(previous, FORMAT), number(newest, FORMAT)
    if now < before or before < now > FORMAT_VERSION:
        faults.append(f"format went from {before} to {now}")
    if not 0 <= number(newest, NEXT_SEQUENCE) - number(previous, NEXT_SEQUENCE) < _MAX_STEP:
        faults.append("next_sequence made a leap")
    faults += [
        f"{key.decode()} is missing"
        for key in (CODEBOOK, CHECKSUM)
        if key in previous and key not in newest
    ]
    return faults


def number(values: Values, key: bytes) -> int:
    """A little-endian number; 0 where it is missing."""
    return int.from_bytes(values.get(key, b""), "little")


def believed(copies: Iterable[Values]) -> dict[bytes, bytes] | None:
    """Of each value of the identity what most copies say.

    Copies whose checksum fits outvote all that have none. None where two answers are as frequent,
    or where there is no copy.
    """
    candidates = [copy for copy in copies if not value_faults(copy)]
    summed = [copy for copy in candidates if CHECKSUM in copy]
    chosen: dict[bytes, bytes] = {}
    for key in IDENTITY_KEYS:
        votes = Counter(copy[key] for copy in summed or candidates).most_common(2)
        if not votes or (len(votes) == 2 and votes[0][1] == votes[1][1]):
            return None
        chosen[key] = votes[0][0]
    return chosen


def identity_of(values: Values) -> Identity:
    """The identity that the values tell."""
    return Identity(
        partition_id=values[b"partition_id"].decode("utf-8"),
        hash_start=number(values, b"hash_start"),
        hash_end=number(values, b"hash_end"),
        fingerprint=values[b"fingerprint"].decode("utf-8"),
        encoder=values[b"encoder"].decode("utf-8"),
        dim=number(values, b"dim"),
    )
