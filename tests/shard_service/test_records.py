"""The binary format: what version 2 looks like, byte by byte, and that damage is noticed."""

from __future__ import annotations

import struct

import google_crc32c
import numpy as np
import pytest

from patchsearch.errors import DataLoss
from shard_service.store.images import Image, PatchRows
from shard_service.store.records import (
    decode_image,
    decode_patches,
    encode_image,
    encode_patches,
    encode_tombstone,
    sequence_key,
    stored_rows,
    stored_version,
)

IMAGE = Image("ä".encode(), 7 << 16, "file:///x", 3848, 2168, b"meta", b"\x01\x02", "grid")


def test_an_image_record_has_the_documented_layout() -> None:
    record = encode_image(IMAGE, first_sequence=99, patch_count=3)
    header = struct.pack("<BBHIIIIIQQ", 1, 2, 4, 3848, 2168, 9, 4, 3, 7 << 16, 99)
    body = header + b"\x01\x02" + b"grid" + b"file:///x" + b"meta"
    assert record == body + struct.pack("<I", google_crc32c.value(IMAGE.image_id + body))
    assert stored_rows(IMAGE.image_id, record) == (99, 3)
    stored = decode_image(IMAGE.image_id, record)
    assert stored is not None and (stored.first_sequence, stored.patch_count) == (99, 3)
    for name in IMAGE.__slots__:
        assert getattr(stored.image, name) == getattr(IMAGE, name)


def test_a_tombstone_is_a_header() -> None:
    record = encode_tombstone(b"gone", 12345)
    assert len(record) == 44 and stored_version(b"gone", record) == 12345
    assert decode_image(b"gone", record) is None and stored_rows(b"gone", record) == (0, 0)


def test_a_record_under_another_key_is_noticed() -> None:
    for record in (encode_image(IMAGE, 99, 3), encode_tombstone(IMAGE.image_id, 7)):
        for read in (decode_image, stored_version, stored_rows):
            with pytest.raises(DataLoss, match="STORE_CORRUPT"):
                read(b"b", record)


def patches() -> PatchRows:
    return PatchRows(
        boxes=np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.int32),
        levels=np.array([1, 2], np.uint16),
        scores=np.array([0.5, -0.25], np.float32),
        vectors=np.arange(8, dtype=np.float16).reshape(2, 4),
    )


def test_a_patch_record_has_the_documented_layout() -> None:
    records = encode_patches(b"id", patches())
    body = struct.pack("<HHiiiifHH4e", 2, 2, 5, 6, 7, 8, -0.25, 4, 0, 4, 5, 6, 7) + b"id"
    assert records[1] == body + struct.pack("<I", google_crc32c.value(body))
    back = decode_patches(b"id", 4, records)
    for name in PatchRows.__slots__:
        np.testing.assert_array_equal(getattr(back, name), getattr(patches(), name))
    assert len(decode_patches(b"id", 4, [])) == 0


def test_every_flipped_bit_is_noticed() -> None:
    record = encode_image(IMAGE, 99, 3)
    patch = encode_patches(b"id", patches())[0]
    for bit in range(8 * len(record)):
        with pytest.raises(DataLoss, match="STORE_CORRUPT"):
            decode_image(IMAGE.image_id, _flipped(record, bit))
    for bit in range(8 * len(patch)):
        with pytest.raises(DataLoss, match="STORE_CORRUPT"):
            decode_patches(b"id", 4, [_flipped(patch, bit)])
    for records in ([b""], [patch[:-1]], [patch + b"\0"]):
        with pytest.raises(DataLoss, match="STORE_CORRUPT"):
            decode_patches(b"id", 4, records)
    with pytest.raises(DataLoss, match="STORE_CORRUPT"):
        decode_patches(b"di", 4, [patch])


def test_keys_sort_as_sequences_do() -> None:
    numbers = [0, 1, 255, 256, 2**32, 2**63]
    assert sorted(map(sequence_key, numbers)) == list(map(sequence_key, numbers))


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
