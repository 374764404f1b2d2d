"""The offline check: it passes what is intact, and names every kind of damage in every kind of
file."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lmdb
import numpy as np
import pytest

from patchsearch.errors import FailedPrecondition, NotFound
from shard_service.directory_lock import DirectoryLock
from shard_service.integrity.lmdb_pages import read_structure
from shard_service.integrity.verification import (
    PartitionReport,
    verify_data_directory,
    verify_partition,
)
from shard_service.store.meta import seal_meta
from tests.shard_service.conftest import Opened
from tests.shard_service.material import DIM, FINGERPRINT, IDENTITY, photo, row_of_boxes, units
from tests.shard_service.test_migration import write_old_store


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A partition with two sealed segments, a codebook, replaced and deleted images."""
    rng = np.random.default_rng(5)
    opened = Opened(tmp_path_factory.mktemp("data") / "partitions" / "p0")
    opened.directory.parent.mkdir()
    partition = opened(idle_s=1e9)
    for part in range(2):
        writes = [
            photo(f"i{part}-{n}", row_of_boxes(6), units(rng, 6), metadata=b"") for n in range(60)
        ]
        partition.put(writes, FINGERPRINT)
        partition.seal()
    partition.put([photo("i0-3", row_of_boxes(4), units(rng, 4), version=5)], FINGERPRINT)
    partition.put([photo("empty", [], units(rng, 0))], FINGERPRINT)
    partition.delete(["i1-7", "i1-8"], 9)
    opened.close()
    return opened.directory


@pytest.fixture
def partition(intact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(intact, tmp_path / "partitions" / "p0"))


def damages(partition: Path) -> list[tuple[str, bytes]]:
    return [(one.place, one.image_id) for one in verify_partition(partition).damages]


def segments(partition: Path) -> list[Path]:
    found = (partition / "segments").iterdir()
    return sorted(path for path in found if not path.name.startswith("."))


def test_what_is_intact_passes(intact: Path) -> None:
    told: list[tuple[str, int, int]] = []
    report = verify_partition(intact, lambda *progress: told.append(progress))
    assert report == PartitionReport("p0", 119, 706, len(segments(intact)), (), ())
    assert report.intact and {what for what, _, _ in told} == {
        "store",
        "images",
        "patches",
        "filters",
        "segments",
    }
    assert list(verify_data_directory(intact.parents[1])) == [report]


def test_nothing_is_changed(partition: Path) -> None:
    def state() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in partition.rglob("*") if path.is_file()}

    before = state()
    assert verify_partition(partition).intact
    assert state() == before


def flip(data: bytearray, rng: np.random.Generator) -> bytearray:
    data[int(rng.integers(0, len(data)))] ^= int(rng.integers(1, 256))
    return data


def flip_eight(data: bytearray, rng: np.random.Generator) -> bytearray:
    for _ in range(8):
        flip(data, rng)
    return data


def cut(data: bytearray, rng: np.random.Generator) -> bytearray:
    return data[: int(rng.integers(0, len(data)))]


def zero_tail(data: bytearray, rng: np.random.Generator) -> bytearray:
    at = int(rng.integers(0, len(data)))
    return data[:at] + bytes(len(data) - at)


@pytest.mark.parametrize("corruption", [flip, flip_eight, cut, zero_tail])
def test_damage_in_any_file_of_a_segment_or_codebook_is_found(
    partition: Path,
    rng: np.random.Generator,
    corruption: Callable[[bytearray, np.random.Generator], bytearray],
) -> None:
    places = [*segments(partition), *(partition / "codebooks").iterdir()]
    files = [path for place in places for path in place.iterdir() if path.name != "manifest.json"]
    assert len(files) > 8
    for path in files:
        before = path.read_bytes()
        after = bytes(corruption(bytearray(before), rng))
        if after == before:
            continue
        path.write_bytes(after)
        expected = f"{path.parent.parent.name}/{path.parent.name}"
        assert damages(partition) == [(expected, b"")], path
        path.write_bytes(before)
    assert damages(partition) == []


def test_a_missing_or_stale_manifest_is_found(partition: Path) -> None:
    one, other = segments(partition)[:2]
    kept = (one / "manifest.json").read_bytes()
    (one / "manifest.json").write_bytes((other / "manifest.json").read_bytes())
    assert (f"segments/{one.name}", b"") in damages(partition)
    (one / "manifest.json").unlink()
    assert (f"segments/{one.name}", b"") in damages(partition)
    (one / "manifest.json").write_bytes(kept)
    assert damages(partition) == []


def test_swapped_files_are_found(partition: Path, tmp_path: Path) -> None:
    one, other = segments(partition)[:2]
    for name in ("boxes.npy", "image_ids.npy", "vectors.faiss"):
        for path in (one / name, other / name):
            assert path.exists()
        (one / name).rename(tmp_path / "kept")
        (other / name).rename(one / name)
        (tmp_path / "kept").rename(other / name)
    assert [place for place, _ in damages(partition)] == [
        f"segments/{one.name}",
        f"segments/{other.name}",
    ]


def resummed(segment: Path) -> None:
    """Writes the sums of the manifest anew, as a fault of this program would leave them."""
    manifest = json.loads((segment / "manifest.json").read_text())
    for name, entry in manifest["files"].items():
        data = (segment / name).read_bytes()
        entry.update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    (segment / "manifest.json").write_text(json.dumps(manifest))


def test_rows_that_differ_from_the_store_are_found(partition: Path) -> None:
    segment = segments(partition)[0]
    rows = np.load(segment / "image_rows.npy")
    boxes = np.load(segment / "boxes.npy")
    boxes[rows[40]] += 1
    np.save(segment / "boxes.npy", boxes)
    vectors = bytearray((segment / "vectors.faiss").read_bytes())
    # The last byte of the last row of the last image, wherever the segment keeps it.
    vectors[(int(rows[-1]) - len(rows) + 1) * 2 * DIM - 1] ^= 1
    (segment / "vectors.faiss").write_bytes(vectors)
    resummed(segment)
    assert damages(partition) == [
        (f"segments/{segment.name}", b"i0-6"),
        (f"segments/{segment.name}", b"i0-59"),
    ]


def test_rows_of_commits_that_the_store_lost_are_found(
    partition: Path, rng: np.random.Generator
) -> None:
    opened = Opened(partition)
    stale = partition.parent / "stale"
    shutil.copytree(partition / "lmdb", stale)
    (stale / "commits").unlink(missing_ok=True)
    later = opened(idle_s=1e9)
    later.put([photo(f"late{n}", row_of_boxes(6), units(rng, 6)) for n in range(60)], FINGERPRINT)
    later.seal()
    opened.close()
    shutil.rmtree(partition / "lmdb")
    stale.rename(partition / "lmdb")
    (damage,) = verify_partition(partition).damages
    assert "commits that the store does not have" in damage.detail


def edit(partition: Path, change: Callable[[lmdb.Transaction, dict[str, object]], None]) -> None:
    env = lmdb.open(str(partition / "lmdb"), max_dbs=4, map_size=1 << 24)
    names = ("meta", "images", "patches", "filters")
    databases = {name: env.open_db(name.encode(), create=False) for name in names}
    with env.begin(write=True) as txn:
        change(txn, databases)
    env.close()


def test_records_are_checked_one_by_one_and_together(partition: Path) -> None:
    def change(txn: lmdb.Transaction, databases: dict[str, object]) -> None:
        images, patches = databases["images"], databases["patches"]
        record = bytearray(txn.get(b"i1-20", db=images))
        record[50] ^= 1
        txn.put(b"i1-20", bytes(record), db=images)
        txn.put(b"i1-21", txn.get(b"i1-22", db=images), db=images)
        first = 10 * 6
        patch = bytearray(txn.get(first.to_bytes(8, "big"), db=patches))
        patch[60] ^= 1
        txn.put(first.to_bytes(8, "big"), bytes(patch), db=patches)
        txn.delete((first + 7).to_bytes(8, "big"), db=patches)
        swapped = txn.get((first + 12).to_bytes(8, "big"), db=patches)
        txn.put((first + 18).to_bytes(8, "big"), swapped, db=patches)
        txn.put(b"u\xff\x00\x00\x00\x00", b"nonsense", db=databases["filters"])
        txn.delete(b"i0-40", db=images)
        txn.put(b"next_sequence", (5).to_bytes(8, "little"), db=databases["meta"])

    edit(partition, change)
    found = damages(partition)
    for place, image_id in (
        ("images", b"i1-20"),
        ("images", b"i1-21"),
        ("patches", b"i0-10"),
        ("patches", b"i0-11"),
        ("patches", b"i0-13"),
        ("patches", b"i0-40"),
        ("filters", b""),
        ("lmdb", b""),
        ("meta", b""),
    ):
        assert (place, image_id) in found, (place, image_id)
    whole = {image_id for _, image_id in found} - {b""}
    assert whole == {b"i1-20", b"i1-21", b"i0-10", b"i0-11", b"i0-13", b"i0-40"}


def test_images_of_another_partition_are_found(partition: Path) -> None:
    def change(txn: lmdb.Transaction, databases: dict[str, object]) -> None:
        txn.put(b"hash_end", (1 << 62).to_bytes(8, "little"), db=databases["meta"])
        seal_meta(txn, databases["meta"])

    edit(partition, change)
    report = verify_partition(partition)
    strangers = [one for one in report.damages if one.detail == "it belongs to another partition"]
    assert 60 < len(strangers) < 119


def test_a_store_that_lmdb_cannot_be_trusted_with_is_read_without_it(partition: Path) -> None:
    path = partition / "lmdb" / "data.mdb"
    data = bytearray(path.read_bytes())
    items = read_structure(partition / "lmdb").snapshots[0].items["images"]
    (at,) = (at for at in items.key_at.tolist() if data[at : at + 5] == b"i0-30")
    page = at // 4096 * 4096
    data[page : page + 4096] = bytes(4096)
    path.write_bytes(data)
    report = verify_partition(partition)
    assert not report.intact and report.images > 50
    assert "lmdb" in {one.place for one in report.damages}
    assert any(one.image_id == b"i0-30" for one in report.damages)


def test_the_first_format_is_checked_too(tmp_path: Path) -> None:
    (tmp_path / "p0").mkdir()
    write_old_store(tmp_path / "p0" / "lmdb")
    report = verify_partition(tmp_path / "p0")
    # It has one damaged record.
    assert [one.place for one in report.damages] == ["images"] and report.images > 200


def test_stores_and_segments_of_other_partitions_are_found(partition: Path) -> None:
    rng = np.random.default_rng(6)
    opened = Opened(partition.parent / "p1")
    other = opened(replace(IDENTITY, partition_id="p1"), idle_s=1e9)
    writes = [photo(f"other{n}", row_of_boxes(6), units(rng, 6)) for n in range(60)]
    other.put(writes, FINGERPRINT)
    other.seal()
    opened.close()
    (stranger,) = segments(opened.directory)
    shutil.copytree(stranger, partition / "segments" / stranger.name)
    assert (f"segments/{stranger.name}", b"i0-0") in damages(partition)
    shutil.rmtree(partition / "segments" / stranger.name)
    shutil.rmtree(partition / "lmdb")
    shutil.move(opened.directory / "lmdb", partition / "lmdb")
    assert "it is the store of partition p1" in {
        one.detail for one in verify_partition(partition).damages
    }


def test_a_directory_in_use_is_refused(intact: Path) -> None:
    lock = DirectoryLock(intact.parents[1])
    try:
        with pytest.raises(FailedPrecondition) as caught:
            list(verify_data_directory(intact.parents[1]))
        assert caught.value.reason == "DATA_DIR_IN_USE"
    finally:
        lock.release()


def test_a_directory_of_shards_is_checked(intact: Path, tmp_path: Path) -> None:
    for name in ("shard-0", "shard-1"):
        shutil.copytree(intact.parents[1], tmp_path / name)
    assert [report.intact for report in verify_data_directory(tmp_path)] == [True, True]
    with pytest.raises(NotFound) as caught:
        list(verify_data_directory(intact))
    assert caught.value.reason == "DATA_DIR_NOT_FOUND"
