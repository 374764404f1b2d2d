"""A store with everything in it, and every kind of damage that a file can take."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np
from google.protobuf.struct_pb2 import Struct

from shard_service.store.images import DeleteImage, Image, PatchRows, PutImage
from shard_service.store.meta import Identity, create_environment
from shard_service.store.patch_store import PatchStore
from shard_service.store.records import encode_patches
from tests.shard_service.material import units

PAGE = 4096
DIM = 512
IDENTITY = Identity("p0", 0, (1 << 64) - 1, "f" * 32, "test-encoder", DIM)
DATABASES = ("meta", "images", "patches", "filters")
EARLIER = "earlier-meta-pages"

Items = dict[str, dict[bytes, bytes]]
Corruption = Callable[[np.random.Generator, bytearray, Path], bytearray]


def put_operation(rng: np.random.Generator, image_id: str, version: int, count: int) -> PutImage:
    fields = Struct()
    fields.update({"drive": f"d{version % 3}", "speed": float(rng.integers(0, 90))})
    if rng.random() < 0.1:
        fields["note"] = "long " * 900
    image = Image(
        image_id.encode(),
        version,
        f"file:///{image_id}",
        4000,
        2000,
        fields.SerializeToString(deterministic=True),
        b"digest",
        "grid",
    )
    patches = PatchRows(
        boxes=np.tile(np.arange(4, dtype=np.int32) + 1, (count, 1)),
        levels=np.ones(count, np.uint16),
        scores=rng.random(count, np.float32),
        vectors=units(rng, count, DIM).astype(np.float16) if count else np.empty((0, DIM), "f2"),
    )
    return PutImage(image, patches, encode_patches(image.image_id, patches))


def make_store(
    environment: Path, rng: np.random.Generator, *, commits: int = 30, images: int = 90
) -> None:
    """Puts, replaces and deletes images; keeps the meta pages of before the last two commits beside
    the file."""
    create_environment(environment, IDENTITY, 1 << 24)
    store = PatchStore(environment, 1 << 24)
    seen = []
    for version in range(1, commits + 1):
        operations: list[PutImage | DeleteImage] = []
        for _ in range(8):
            image_id = f"drive/{'x' * int(rng.choice([1, 40, 300]))}/{rng.integers(0, images)}"
            if rng.random() < 0.15:
                operations.append(DeleteImage(image_id.encode(), version))
            else:
                operations.append(put_operation(rng, image_id, version, int(rng.integers(0, 7))))
        store.commit(operations)
        seen.append((environment / "data.mdb").read_bytes()[: 2 * PAGE])
    store.close()
    if len(seen) > 2:
        (environment / EARLIER).write_bytes(seen[-3])


def read_items(environment: Path) -> Items:
    """Everything in the store, through LMDB."""
    env = lmdb.open(str(environment), readonly=True, lock=False, max_dbs=len(DATABASES))
    try:
        databases = {name: env.open_db(name.encode(), create=False) for name in DATABASES}
        with env.begin() as txn:
            found: Items = {}
            for name, database in databases.items():
                with txn.cursor(db=database) as cursor:
                    found[name] = dict(cursor)
                # Looking a key up takes other ways through the pages than walking does.
                for key, value in found[name].items():
                    if txn.get(key, db=database) != value:
                        found[name][key] = b"not found"
            return found
    finally:
        env.close()


def damaged_copy(
    base: Path, target: Path, corruption: Corruption, rng: np.random.Generator
) -> bool:
    """Copies a store and damages the copy; False when the bytes happen to be the same."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(base, target, ignore=shutil.ignore_patterns("lock.mdb", EARLIER))
    before = (base / "data.mdb").read_bytes()
    after = corruption(rng, bytearray(before), base)
    (target / "data.mdb").write_bytes(after)
    return bytes(after) != before


def flipped_anywhere(rng: np.random.Generator, data: bytearray, base: Path) -> bytearray:
    return _flipped(rng, data, int(rng.integers(0, len(data))), 1)


def flipped_in_a_header(rng: np.random.Generator, data: bytearray, base: Path) -> bytearray:
    return _flipped(rng, data, _page(rng, data) + int(rng.integers(0, 48)), 1)


def flipped_in_a_meta_page(rng: np.random.Generator, data: bytearray, base: Path) -> bytearray:
    at = int(rng.integers(0, 2)) * PAGE + int(rng.integers(0, 152))
    return _flipped(rng, data, at, 1)


def eight_anywhere(rng: np.random.Generator, data: bytearray, base: Path) -> bytearray:
    return _flipped(rng, data, int(rng.integers(0, len(data) - 8)), 8)


def eight_in_a_header(rng: np.random.Generator, data: bytearray, base: Path) -> bytearray:
    return _flipped(rng, data, _page(rng, data) + int(rng.integers(0, 40)), 8)


def eight_scattered(rng: np.random.Generator, data: bytearray, base: Path) -> bytearray:
    for at in rng.integers(0, len(data), 8).tolist():
        _flipped(rng, data, at, 1)
    return data


def eight_in_a_meta_page(rng: np.random.Generator, data: bytearray, base: Path) -> bytearray:
    at = int(rng.integers(0, 2)) * PAGE + int(rng.integers(0, 146))
    return _flipped(rng, data, at, 8)


def cut_short(rng: np.random.Generator, data: bytearray, base: Path) -> bytearray:
    return data[: int(rng.integers(0, len(data)))]


def zeroed_tail(rng: np.random.Generator, data: bytearray, base: Path) -> bytearray:
    at = int(rng.integers(0, len(data)))
    data[at:] = bytes(len(data) - at)
    return data


def zeroed_page(rng: np.random.Generator, data: bytearray, base: Path) -> bytearray:
    at = _page(rng, data)
    data[at : at + PAGE] = bytes(PAGE)
    return data


def swapped_pages(rng: np.random.Generator, data: bytearray, base: Path) -> bytearray:
    one, other = _page(rng, data), _page(rng, data)
    data[one : one + PAGE], data[other : other + PAGE] = (
        data[other : other + PAGE],
        data[one : one + PAGE],
    )
    return data


def copied_page(rng: np.random.Generator, data: bytearray, base: Path) -> bytearray:
    """A page over another one, with the number that belongs there."""
    one, other = _page(rng, data), _page(rng, data)
    data[one + 8 : one + PAGE] = data[other + 8 : other + PAGE]
    return data


def older_meta_page(rng: np.random.Generator, data: bytearray, base: Path) -> bytearray:
    """The newer meta page says what the older one does."""
    transactions = [int.from_bytes(data[at + 144 : at + 152], "little") for at in (0, PAGE)]
    newer = PAGE * transactions.index(max(transactions))
    older = PAGE - newer
    data[newer + 16 : newer + PAGE] = data[older + 16 : older + PAGE]
    return data


def stale_meta_page(rng: np.random.Generator, data: bytearray, base: Path) -> bytearray:
    """One meta page, or both, as they were some commits ago."""
    earlier = (base / EARLIER).read_bytes()
    for page in (0, 1) if rng.random() < 0.3 else (int(rng.integers(0, 2)),):
        data[page * PAGE : (page + 1) * PAGE] = earlier[page * PAGE : (page + 1) * PAGE]
    return data


CORRUPTIONS: tuple[Corruption, ...] = (
    flipped_anywhere,
    flipped_in_a_header,
    flipped_in_a_meta_page,
    eight_anywhere,
    eight_in_a_header,
    eight_scattered,
    eight_in_a_meta_page,
    cut_short,
    zeroed_tail,
    zeroed_page,
    swapped_pages,
    copied_page,
    older_meta_page,
    stale_meta_page,
)


def _page(rng: np.random.Generator, data: bytearray) -> int:
    return int(rng.integers(0, len(data) // PAGE)) * PAGE


def _flipped(rng: np.random.Generator, data: bytearray, at: int, count: int) -> bytearray:
    for place in range(at, min(at + count, len(data))):
        data[place] ^= int(rng.integers(1, 256))
    return data
