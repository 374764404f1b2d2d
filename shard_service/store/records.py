"""How images and patches lie in LMDB: binary records, format version 2, little-endian throughout.

Image record (database `images`, key: image_id as UTF-8), 40 bytes + texts + 4:

    offset  size  field
         0     1  kind: 1 image, 2 tombstone
         1     1  digest length d
         2     2  selection length s
         4     4  width in pixels
         8     4  height in pixels
        12     4  uri length u
        16     4  metadata length m
        20     4  patch count
        24     8  version
        32     8  sequence of the first patch
        40  d+s+u+m  digest, selection (UTF-8), uri (UTF-8), metadata (opaque)
       ...     4  CRC32C of the key and of everything before it

A tombstone has the same header with everything but kind and version zero.

Patch record (database `patches`, key: sequence, u64 big-endian), 28 + 2 dim + n + 4 bytes:

    offset  size  field
         0     2  image_id length n
         2     2  level
         4    16  box: x, y, w, h, i32 each
        20     4  selection score, f32
        24     2  dim
        26     2  zero
        28  2 dim  vector, f16
       ...     n  image_id (UTF-8)
       ...     4  CRC32C of everything before it

The sum of an image record covers its key, so that a record under another image's key is noticed; a
patch record holds its image's id instead. Version 1 left the key out, and is read by
`shard_service.store.migration` alone.

The records of one image are equally long, so an image's patches decode as one array.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import google_crc32c
import numpy as np

from patchsearch.errors import DataLoss
from shard_service.store.images import (
    Image,
    PatchRows,
    RecordState,
    StoredImage,
    empty_patches,
)

FORMAT_VERSION = 2

_IMAGE = struct.Struct("<BBHIIIIIQQ")
_ROWS = struct.Struct("<20xI8xQ")
_CRC = struct.Struct("<I")
_SHORTEST = _IMAGE.size + _CRC.size
_SUM_WITH_ITSELF = 0x48674BC7
_SEQUENCE = struct.Struct(">Q")
_KIND_IMAGE = 1
_KIND_TOMBSTONE = 2


def sequence_key(sequence: int) -> bytes:
    """The LMDB key of a patch."""
    return _SEQUENCE.pack(sequence)


def encode_image(image: Image, first_sequence: int, patch_count: int) -> bytes:
    """The record of a live image."""
    uri, selection = image.uri.encode("utf-8"), image.selection.encode("utf-8")
    header = _IMAGE.pack(
        _KIND_IMAGE,
        len(image.digest),
        len(selection),
        image.width,
        image.height,
        len(uri),
        len(image.metadata),
        patch_count,
        image.version,
        first_sequence,
    )
    body = b"".join((header, image.digest, selection, uri, image.metadata))
    return seal_image_record(image.image_id, body)


def encode_tombstone(image_id: bytes, version: int) -> bytes:
    """The record of a deleted image."""
    body = _IMAGE.pack(_KIND_TOMBSTONE, 0, 0, 0, 0, 0, 0, 0, version, 0)
    return seal_image_record(image_id, body)


def seal_image_record(image_id: bytes, body: bytes) -> bytes:
    """An image record from everything before its checksum."""
    return body + _CRC.pack(google_crc32c.value(image_id + body))


def stored_version(image_id: bytes, record: bytes) -> int:
    """The version of an image record, tombstone or not.

    Raises DataLoss STORE_CORRUPT when the checksum does not fit.
    """
    version: int = _IMAGE.unpack_from(_checked_body(image_id, record))[8]
    return version


def stored_state(image_id: bytes, record: bytes) -> RecordState:
    """What an image record says of the image.

    Raises DataLoss STORE_CORRUPT when the checksum does not fit.
    """
    header = _IMAGE.unpack_from(_checked_body(image_id, record))
    return RecordState(version=header[8], deleted=header[0] == _KIND_TOMBSTONE)


def decode_image(image_id: bytes, record: bytes) -> StoredImage | None:
    """The image of a record, without patches; None for a tombstone.

    Raises DataLoss STORE_CORRUPT when the checksum does not fit.
    """
    body = _checked_body(image_id, record)
    kind, d, s, width, height, u, _m, count, version, first = _IMAGE.unpack_from(body)
    if kind == _KIND_TOMBSTONE:
        return None
    at = _IMAGE.size
    return StoredImage(
        image=Image(
            image_id=image_id,
            version=version,
            uri=body[at + d + s : at + d + s + u].decode("utf-8"),
            width=width,
            height=height,
            metadata=body[at + d + s + u :],
            digest=body[at : at + d],
            selection=body[at + d : at + d + s].decode("utf-8"),
        ),
        first_sequence=first,
        patch_count=count,
    )


def stored_rows(image_id: bytes, record: bytes) -> tuple[int, int]:
    """First sequence and patch count of an image record, (0, 0) for a tombstone.

    Raises DataLoss STORE_CORRUPT when the checksum does not fit.
    """
    # A sum behind what it covers gives the same sum for all data: this spares every copy but one.
    if len(record) < _SHORTEST or google_crc32c.value(image_id + record) != _SUM_WITH_ITSELF:
        raise _corrupt("the record", image_id)
    count, first = _ROWS.unpack_from(record)
    return first, count


def _checked_body(image_id: bytes, record: bytes) -> bytes:
    body = record[:-4]
    good = len(record) >= _SHORTEST
    if not good or _CRC.unpack(record[-4:])[0] != google_crc32c.value(image_id + body):
        raise _corrupt("the record", image_id)
    return body


def encode_patches(image_id: bytes, patches: PatchRows) -> list[bytes]:
    """The records of an image's patches, in their order."""
    if len(patches) == 0:
        return []
    layout = _patch_layout(patches.vectors.shape[1], len(image_id))
    rows = np.zeros(len(patches), layout)
    rows["id_length"] = len(image_id)
    rows["level"] = patches.levels
    rows["box"] = patches.boxes
    rows["score"] = patches.scores
    rows["dim"] = patches.vectors.shape[1]
    rows["vector"] = patches.vectors
    rows["image_id"] = np.frombuffer(image_id, np.uint8)
    data = rows.tobytes()
    size = layout.itemsize
    bodies = [data[at : at + size - 4] for at in range(0, len(data), size)]
    return [body + _CRC.pack(google_crc32c.value(body)) for body in bodies]


def decode_patches(image_id: bytes, dim: int, records: Sequence[bytes]) -> PatchRows:
    """The patches of one image from all its records.

    Raises DataLoss STORE_CORRUPT when a checksum, a length, the dimension or the id does not fit.
    """
    if not records:
        return empty_patches(dim)
    layout = _patch_layout(dim, len(image_id))
    for record in records:
        good = len(record) == layout.itemsize
        if not good or _CRC.unpack(record[-4:])[0] != google_crc32c.value(record[:-4]):
            raise _corrupt("a patch", image_id)
    rows = np.frombuffer(b"".join(records), layout)
    if (rows["image_id"] != np.frombuffer(image_id, np.uint8)).any() or (rows["dim"] != dim).any():
        raise _corrupt("a patch", image_id)
    return PatchRows(
        boxes=np.ascontiguousarray(rows["box"], np.int32),
        levels=np.ascontiguousarray(rows["level"], np.uint16),
        scores=np.ascontiguousarray(rows["score"], np.float32),
        vectors=np.ascontiguousarray(rows["vector"], np.float16),
    )


@lru_cache(maxsize=1024)
def _patch_layout(dim: int, id_length: int) -> np.dtype[Any]:
    return np.dtype(
        [
            ("id_length", "<u2"),
            ("level", "<u2"),
            ("box", "<i4", (4,)),
            ("score", "<f4"),
            ("dim", "<u2"),
            ("zero", "<u2"),
            ("vector", "<f2", (dim,)),
            ("image_id", "u1", (id_length,)),
            ("crc", "<u4"),
        ]
    )


def _corrupt(what: str, image_id: bytes) -> DataLoss:
    name = image_id.decode("utf-8", "replace")
    return DataLoss(
        "STORE_CORRUPT",
        f"{what} of image {name!r} fails its checksum; ingest the image again, or restore the "
        "partition from a copy",
        metadata={"image_id": name},
    )
