"""A partition's share of the hits: how many that is, and that they are the first of all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from placement.document import hash_of
from shard_service.answers import PartitionAnswer, PartitionHit, merged_hits
from shard_service.options import PartitionOptions
from shard_service.search.query import PartitionQuery, likely
from shard_service.shard import Shard
from shard_service.store.images import Image
from shard_service.store.meta import Identity
from tests.shard_service.material import FINGERPRINT
from tests.shard_service.partition_material import DIM, query_vector, random_photo

EIGHTH = 1 << 61


@pytest.mark.parametrize("count", [1, 16, 160, 1000])
@pytest.mark.parametrize("share", [0.01, 1 / 8, 0.4])
def test_a_part_hardly_exceeds_what_is_likely(count: int, share: float) -> None:
    enough = likely(count, share)
    assert 1 <= enough <= count
    # Patches come in pairs, those of an image.
    pairs = np.random.default_rng(count).binomial(count // 2, share, 20_000)
    assert float((2 * pairs + count % 2 > enough).mean()) < 0.005
    assert enough < count * share + 4 * np.sqrt(2 * count * share) + 4


def test_all_of_a_collection_is_likely_to_hold_all() -> None:
    assert [likely(count, 1.0) for count in (1, 16, 1000)] == [1, 16, 1000]


def answer(more: bool, *scores: float) -> PartitionAnswer:
    image = Image(b"a", 1)
    hits = [PartitionHit(image, (0, 0, 9, 9), 1, score, ()) for score in scores]
    return PartitionAnswer(tuple(hits), 9, 9, more)


@pytest.mark.parametrize(
    ("answers", "k", "told", "more"),
    [
        ([answer(False, 0.9, 0.5), answer(False, 0.8)], 2, [0.9, 0.8], False),
        ([answer(True, 0.9, 0.5), answer(False, 0.8, 0.4)], 4, [0.9, 0.8, 0.5], True),
        ([answer(True, 0.9, 0.5), answer(True, 0.8, 0.6)], 3, [0.9, 0.8, 0.6], False),
        ([answer(True, 0.9, 0.7), answer(True, 0.5)], 3, [0.9, 0.7], True),
        # The images of all hits of the first are damaged.
        ([answer(True), answer(False, 0.8)], 2, [], True),
    ],
)
def test_nothing_is_told_behind_what_may_be_missing(
    answers: list[PartitionAnswer], k: int, told: list[float], more: bool
) -> None:
    hits, there_may_be_more = merged_hits(answers, k)
    assert ([hit.score for hit in hits], there_may_be_more) == (told, more)


@pytest.mark.parametrize("sealed", [False, True])
def test_the_hits_of_a_share_are_the_first_of_all(tmp_path: Path, sealed: bool) -> None:
    options = PartitionOptions(seal_patches=10**9, min_train_patches=300, map_bytes=8 << 20)
    shard = Shard(tmp_path, options)
    shard.open()
    writes = [random_photo(f"i{n}", 20, n, metadata={}) for n in range(150)]
    for at in range(8):
        name, start = f"p{at}", at * EIGHTH
        shard.create(Identity(name, start, start + EIGHTH - 1, FINGERPRINT, "test-encoder", DIM))
        own = [one for one in writes if hash_of(one[0].image_id.decode()) // EIGHTH == at]
        shard.partition(name).put(own, FINGERPRINT)
        if sealed:
            shard.partition(name).seal()
    patches = sum(partition.describe().patches for partition in shard.partitions())
    here = ["p1", "p2"]
    cut = 0
    for seed in range(40):
        vector = query_vector(seed)
        whole, shared, exact = (
            shard.search(here, [(PartitionQuery(vector, k=40, **more), FINGERPRINT)])[0]
            for more in ({}, {"collection_patches": patches}, {"exact": True})
        )
        assert not whole.more
        assert 0 < len(shared.hits) <= 40
        expected = exact if sealed else whole
        found, all_of_them = (
            [(hit.image.image_id, hit.box) for hit in one.hits] for one in (shared, expected)
        )
        if sealed:
            # The index may overlook a hit, but hardly ever.
            assert len(set(found) & set(all_of_them[: len(found)])) >= len(found) - 1
        else:
            assert found == all_of_them[: len(found)]
        assert shared.more == (len(found) < 40)
        cut += shared.more
    assert cut > 30
    shard.close()
