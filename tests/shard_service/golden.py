"""Writes the golden partition of this format version, which every later version must open.

    python -m tests.shard_service.golden

Run it once for each new format version, with a new name, and never again for an old one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from google.protobuf.struct_pb2 import Struct

from shard_service.options import PartitionOptions
from shard_service.partition import Partition
from shard_service.partition_files import create_partition
from tests.shard_service.material import FINGERPRINT, IDENTITY, OPTIONS, photo, row_of_boxes, units

GOLDEN = Path(__file__).parent / "golden"
NAME = "format-2"


def write(target: Path) -> None:
    rng = np.random.default_rng(2)
    create_partition(target / "p0", IDENTITY, OPTIONS.map_bytes)
    partition = Partition(
        target / "p0", PartitionOptions(**{**_options(), "seal_patches": 10**9, "idle_s": 1e9})
    )
    writes = [_photo(number, rng) for number in range(64)]
    partition.put(writes, FINGERPRINT)
    partition.seal()
    # Replaced, deleted and new since the segment was sealed.
    later = [_photo(number, rng, version=2) for number in (3, 64, 65)]
    partition.put(later, FINGERPRINT)
    partition.delete(["image-5", "never-there"], 7)
    partition.close()
    (target / "p0" / "lmdb" / "lock.mdb").unlink()
    stored = {image.image_id: (image, patches) for image, patches in (*writes, *later)}
    del stored[b"image-5"]
    images = [stored[key] for key in sorted(stored)]
    np.savez(
        target / "expected.npz",
        ids=np.array([image.image_id.decode() for image, _ in images]),
        versions=np.array([image.version for image, _ in images]),
        nights=np.array([int(image.image_id[6:]) % 2 == 0 for image, _ in images]),
        counts=np.array([len(patches) for _, patches in images]),
        boxes=np.concatenate([patches.boxes for _, patches in images]),
        vectors=np.concatenate([patches.vectors.astype(np.float16) for _, patches in images]),
    )


def _photo(number: int, rng: np.random.Generator, version: int = 1):  # type: ignore[no-untyped-def]
    metadata = Struct()
    metadata.update({"night": number % 2 == 0, "speed": float(number)})
    return photo(
        f"image-{number}",
        row_of_boxes(6),
        units(rng, 6),
        version=version,
        metadata=metadata.SerializeToString(deterministic=True),
    )


def _options() -> dict[str, object]:
    return {name: getattr(OPTIONS, name) for name in OPTIONS.__slots__}


if __name__ == "__main__":
    if (GOLDEN / NAME).exists():
        raise SystemExit(f"{GOLDEN / NAME} exists; it must never change")
    try:
        write(GOLDEN / NAME)
    except BaseException:
        shutil.rmtree(GOLDEN / NAME, ignore_errors=True)
        raise
