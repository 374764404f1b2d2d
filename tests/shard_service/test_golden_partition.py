"""Partitions of every format version that was released open, whole, for ever."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from patchsearch.filters import Match
from shard_service.integrity.verification import verify_partition
from shard_service.partition import Partition
from shard_service.search.query import PartitionQuery
from tests.shard_service.golden import GOLDEN
from tests.shard_service.material import FINGERPRINT, OPTIONS

NAMES = sorted(path.name for path in GOLDEN.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_partition_opens_and_answers(name: str, tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / name / "p0", tmp_path / "p0")
    with np.load(GOLDEN / name / "expected.npz", allow_pickle=False) as expected:
        ids, versions, nights = expected["ids"], expected["versions"], expected["nights"]
        counts, boxes, vectors = expected["counts"], expected["boxes"], expected["vectors"]
    assert not verify_partition(tmp_path / "p0").damages
    partition = Partition(tmp_path / "p0", OPTIONS)
    try:
        state = partition.describe()
        assert (state.images, state.patches) == (len(ids), counts.sum())
        assert state.sealed_segments == 1 and state.deleted_patches == 12
        assert not state.damaged_images and not state.activity
        listed = partition.list_images("", "", 1000)
        assert [image.image.image_id.decode() for image in listed] == ids.tolist()
        assert [image.image.version for image in listed] == versions.tolist()
        stored = partition.get_images(ids.tolist(), with_patches=True)
        patches = [image.patches for image in stored if image.patches is not None]
        np.testing.assert_array_equal(np.concatenate([one.boxes for one in patches]), boxes)
        np.testing.assert_array_equal(np.concatenate([one.vectors for one in patches]), vectors)
        owners = np.repeat(np.arange(len(ids)), counts)
        for row in range(0, len(vectors), 7):
            query = vectors[row].astype(np.float32)
            query /= np.linalg.norm(query)
            (best,) = partition.search(PartitionQuery(query, 1), FINGERPRINT).hits
            assert best.image.image_id.decode() == ids[owners[row]]
            assert best.box == tuple(boxes[row]) and best.score > 0.999
        night = PartitionQuery(query, 1000, filter=Match("night", (True,)), keep_overlapping=True)
        hits = partition.search(night, FINGERPRINT).hits
        assert {hit.image.image_id.decode() for hit in hits} == set(ids[nights].tolist())
    finally:
        partition.close()
