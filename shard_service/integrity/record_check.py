"""What records say of themselves: whether they are whole, and whose they are."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import google_crc32c

from patchsearch.errors import DataLoss
from shard_service.store.records import seal_image_record, stored_rows, stored_version

FIRST_FORMAT = 1
_CRC = struct.Struct("<I")
_PATCH = struct.Struct("<HH16sfHH")
_IMAGE = struct.Struct("<BBHIIIIIQQ")
_KINDS = (1, 2)


@dataclass(frozen=True, slots=True)
class ImageRow:
    """What an image record says of its patches; of a tombstone `patch_count` is 0."""

    version: int
    first_sequence: int
    patch_count: int
    tombstone: bool

    @property
    def end(self) -> int:
        """The sequence behind its last patch."""
        return self.first_sequence + self.patch_count


def patch_owner(record: bytes) -> bytes | None:
    """The id of the image whose patch `record` is; None when it fails its checksum."""
    if not looks_like_patch(record):
        return None
    if _CRC.unpack_from(record, len(record) - 4)[0] != google_crc32c.value(record[:-4]):
        return None
    id_length = _PATCH.unpack_from(record)[0]
    return record[len(record) - 4 - id_length : -4]


def patch_dim(record: bytes) -> int:
    """The numbers in a patch's vector; the record is whole."""
    return int(_PATCH.unpack_from(record)[4])


def image_row(key: bytes, record: bytes, store_format: int) -> ImageRow | None:
    """What an image record says; None when it fails its checksum.

    `store_format` is the version of the store's format: the first one summed records without keys.
    """
    if store_format == FIRST_FORMAT:
        resealed = resealed_image(key, record)
        if resealed is None:
            return None
        record = resealed
    try:
        first, count = stored_rows(key, record)
        version = stored_version(key, record)
    except DataLoss:
        return None
    return ImageRow(version, first, count, tombstone=record[0] == _KINDS[1])


def resealed_image(key: bytes, record: bytes) -> bytes | None:
    """A record of the first format with the checksum of this one; None when it fails its own."""
    body = record[:-4]
    if len(record) < _IMAGE.size + 4 or record[-4:] != _CRC.pack(google_crc32c.value(body)):
        return None
    return seal_image_record(key, body)


def filter_is_whole(key: bytes, value: bytes) -> bool:
    """Whether a value of the filter index, bitmap or column, fits its checksum."""
    return len(value) >= 4 and _CRC.unpack_from(value)[0] == google_crc32c.value(key + value[4:])


def looks_like_patch(record: bytes) -> bool:
    """Whether it is as long as a patch record that begins like this is; says nothing of damage."""
    if len(record) < _PATCH.size + 4:
        return False
    id_length, _, _, _, dim, _ = _PATCH.unpack_from(record)
    length: int = _PATCH.size + 2 * dim + id_length + 4
    return len(record) == length


def looks_like_image(record: bytes) -> bool:
    """Whether it is as long as an image record that begins like this is."""
    if len(record) < _IMAGE.size + 4:
        return False
    kind, digest, selection, _, _, uri, metadata, *_ = _IMAGE.unpack_from(record)
    length: int = _IMAGE.size + digest + selection + uri + metadata + 4
    return kind in _KINDS and len(record) == length
