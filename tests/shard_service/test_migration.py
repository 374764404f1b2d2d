"""Directories of format version 1, written byte by byte as it was, are opened for ever."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import google_crc32c
import lmdb
import numpy as np
import pytest

from patchsearch.errors import DataLoss, FailedPrecondition
from patchsearch.filters import Exists, Match, Not
from shard_service.store.images import PutImage
from shard_service.store.patch_store import PatchStore
from shard_service.store.records import sequence_key
from tests.shard_service.filter_store import IDENTITY, opened, put, raw

IMAGES = 300
COMMITS = 41


def old_record(image_id: bytes, operation: PutImage | None, first: int, version: int) -> bytes:
    """An image record of version 1, a tombstone without an operation."""
    if operation is None:
        body = struct.pack("<BBHIIIIIQQ", 2, 0, 0, 0, 0, 0, 0, 0, version, 0)
    else:
        image = operation.image
        assert image.image_id == image_id
        texts = (image.digest, image.selection.encode(), image.uri.encode(), image.metadata)
        digest, selection, uri, metadata = map(len, texts)
        body = struct.pack(
            "<BBHIIIIIQQ",
            1,
            digest,
            selection,
            image.width,
            image.height,
            uri,
            metadata,
            len(operation.records),
            version,
            first,
        ) + b"".join(texts)
    return body + struct.pack("<I", google_crc32c.value(body))


def write_old_store(path: Path, *, version: int = 1) -> None:
    """A store as version 1 left it: images, some without patches, a tombstone, a damaged record."""
    path.mkdir()
    env = lmdb.open(str(path), map_size=16 << 20, max_dbs=4)
    meta, images, patches = (env.open_db(name) for name in (b"meta", b"images", b"patches"))
    with env.begin(write=True) as txn:
        sequence = 0
        for number in range(IMAGES):
            metadata = {"weather": ["sun", "snow"][number % 2]}
            operation = put(f"i{number:03d}", metadata, version=9, patches=number % 3)
            key = operation.image.image_id
            txn.put(key, old_record(key, operation, sequence, 9), db=images)
            for at, record in enumerate(operation.records):
                txn.put(sequence_key(sequence + at), record, db=patches)
            sequence += len(operation.records)
        txn.put(b"gone", old_record(b"gone", None, 0, 9), db=images)
        damaged = bytearray(txn.get(b"i101", db=images))
        damaged[-6] ^= 1
        txn.put(b"i101", bytes(damaged), db=images)
        for name, value in {
            b"format": version.to_bytes(4, "little"),
            b"partition_id": IDENTITY.partition_id.encode(),
            b"hash_start": bytes(8),
            b"hash_end": b"\xff" * 8,
            b"fingerprint": IDENTITY.fingerprint.encode(),
            b"encoder": IDENTITY.encoder.encode(),
            b"dim": IDENTITY.dim.to_bytes(4, "little"),
            b"next_sequence": sequence.to_bytes(8, "little"),
            b"commits": COMMITS.to_bytes(8, "little"),
        }.items():
            txn.put(name, value, db=meta)
    env.close()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    write_old_store(tmp_path / "lmdb")
    return tmp_path / "lmdb"


def stored_format(path: Path) -> int:
    with raw(path, b"meta") as txn:
        return int.from_bytes(txn.get(b"format"), "little")


def check_migrated(store: PatchStore) -> None:
    assert store.identity == IDENTITY
    assert store.commits == COMMITS + 1
    damages: list[DataLoss] = []
    images = store.live_images(damages.append)
    assert len(images) == IMAGES - 1
    assert [damage.metadata["image_id"] for damage in damages] == ["i101"]
    expected = {}
    for stored in store.with_patches(images, damages.append):
        number = int(stored.image.image_id[1:])
        operation = put(f"i{number:03d}", {"weather": ["sun", "snow"][number % 2]}, version=9)
        for name in operation.image.__slots__:
            assert getattr(stored.image, name) == getattr(operation.image, name)
        assert stored.patch_count == number % 3
        assert stored.patches is not None
        np.testing.assert_array_equal(
            stored.patches.vectors, operation.patches.vectors[: number % 3]
        )
        if stored.patch_count:
            expected[stored.first_sequence] = number % 2
    assert len(damages) == 1
    snow = [sequence for sequence, parity in sorted(expected.items()) if parity]
    assert store.matching(Match("weather", ("snow",)))[1].tolist() == snow
    assert store.matching(Exists("weather"))[1].tolist() == sorted(expected)
    assert store.filter_problems() == []


def test_an_old_store_is_brought_to_the_new_format(old: Path) -> None:
    for _ in range(2):
        store = opened(old, durable=True)
        check_migrated(store)
        store.close()
        assert stored_format(old) == 2
    store = opened(old)
    # Versions go on deciding, and what was damaged can be healed.
    writes = [
        put("i000", {"weather": "fog"}, version=9),
        put("gone", {"weather": "fog"}, version=9),
        put("i001", {"weather": "fog"}, version=10),
        put("i101", {"weather": "fog"}, version=9),
    ]
    assert [outcome.applied for outcome in store.commit(writes)] == [False, False, True, True]
    assert store.matching(Match("weather", ("fog",)))[1].tolist() == [IMAGES, IMAGES + 2]
    assert len(store.matching(Not(Exists("weather")))[1]) == 0
    assert store.filter_problems() == []
    store.close()


def test_the_map_grows_for_it(tmp_path: Path) -> None:
    write_old_store(tmp_path / "lmdb")
    store = PatchStore(tmp_path / "lmdb", 4096)
    check_migrated(store)
    store.close()


KILLED = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from tests.shard_service.filter_store import opened

def kill(event, told):
    if event == "patchsearch.shard" and told[0] == "before-migration-commit":
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill)
opened(Path(sys.argv[1]), durable=True)
"""


def test_who_is_killed_in_the_midst_of_it_starts_again(old: Path) -> None:
    for _ in range(2):
        ended = subprocess.run([sys.executable, "-c", KILLED, str(old)], capture_output=True)
        assert ended.returncode == -9, ended.stderr
        assert stored_format(old) == 1
    store = opened(old)
    check_migrated(store)
    store.close()


LIMITED = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from patchsearch.errors import ResourceExhausted
from tests.shard_service.filter_store import opened

path = Path(sys.argv[1])
size = (path / "data.mdb").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 8192, resource.RLIM_INFINITY))
try:
    opened(path)
except ResourceExhausted as error:
    print(error.reason)
"""


def test_without_room_nothing_changes(old: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, str(old)], capture_output=True, text=True
    )
    assert ended.stdout.endswith("\nDISK_FULL\n"), ended.stderr
    assert stored_format(old) == 1
    store = opened(old)
    check_migrated(store)
    store.close()


@pytest.mark.parametrize("version", [0, 3])
def test_an_unknown_format_is_left_alone(tmp_path: Path, version: int) -> None:
    write_old_store(tmp_path / "lmdb", version=version)
    before = (tmp_path / "lmdb" / "data.mdb").read_bytes()
    with pytest.raises(FailedPrecondition, match="FORMAT_UNKNOWN"):
        opened(tmp_path / "lmdb")
    assert (tmp_path / "lmdb" / "data.mdb").read_bytes() == before
