"""After everything is whole again: replicas against each other, and all against the history."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc
import numpy as np

from patchsearch.shard.v1 import shard_service_pb2 as shard_pb
from patchsearch.wire.vectors import box_from_proto
from placement.document import Partition
from tests.chaos.cluster.history import History, photo_of
from tests.chaos.cluster.load import Anchors, K
from tests.chaos.cluster.world import World
from tests.contract.doors import vector_request
from tests.contract.fake_encoder import vector_of
from tests.contract.oracle import Oracle, StoredPhoto

_CALL_S = 20.0
_QUERIES = 20
_PAGE = 1000


@dataclass
class Verdict:
    """What is wrong; all lists empty when nothing is."""

    images: int = 0
    records: int = 0
    """Images compared byte by byte between replicas."""
    lost: list[str] = field(default_factory=list)
    phantom: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    """Stored otherwise than anybody wrote it."""
    unequal: list[str] = field(default_factory=list)
    """Records that differ between replicas."""
    overtaken: list[str] = field(default_factory=list)
    """Refused writes that came after all, over acknowledged later ones."""
    answers: list[str] = field(default_factory=list)
    """Searches that are not the oracle's."""

    @property
    def faults(self) -> list[str]:
        return [
            f"{kind}: {what}"
            for kind in ("lost", "phantom", "torn", "unequal", "overtaken", "answers")
            for what in getattr(self, kind)
        ]


def converged(world: World) -> bool:
    """Whether all replicas of every partition tell the same digest, right now."""
    for partition in world.placement.partitions:
        digests = set()
        for replica in partition.replicas:
            request = shard_pb.DescribePartitionsRequest(partition_ids=[partition.id])
            try:
                answer = world.shard_stub(replica.shard).DescribePartitions(
                    request, timeout=_CALL_S
                )
            except (grpc.RpcError, KeyError):
                return False
            digests |= {(d.digest, d.images, d.tombstones) for d in answer.partitions}
        if len(digests) != 1:
            return False
    return True


def wait_converged(world: World, patience_s: float) -> float | None:
    """Seconds until all replicas are equal; None when they are not within `patience_s`."""
    began = time.monotonic()
    while not converged(world):
        if time.monotonic() - began > patience_s:
            return None
        time.sleep(0.1)
    return time.monotonic() - began


def judge(world: World, history: History, anchors: Anchors) -> Verdict:
    """Reads everything from every replica; nothing may be writing."""
    verdict = Verdict()
    stored: dict[str, shard_pb.StoredImage] = {}
    for partition in world.placement.partitions:
        first, *others = [dict(_records(world, r.shard, partition)) for r in partition.replicas]
        for other, replica in zip(others, partition.replicas[1:], strict=True):
            for image_id in sorted(first.keys() | other.keys()):
                mine, theirs = first.get(image_id), other.get(image_id)
                if mine is None or theirs is None or _bytes(mine) != _bytes(theirs):
                    verdict.unequal.append(f"{image_id} in {partition.id} on {replica.shard}")
        verdict.records += len(first) * (1 + len(others))
        stored.update(first)
    oracle = Oracle()
    for image_id in anchors.ids:
        _judge_image(verdict, image_id, stored.get(image_id), {anchors.seed_of(image_id)}, set())
    for image_id in history.image_ids():
        possible = history.possible_seeds(image_id)
        overtaken = history.overtaken_seeds(image_id)
        _judge_image(verdict, image_id, stored.get(image_id), possible, overtaken)
    known = {*anchors.ids, *history.image_ids()}
    verdict.phantom += sorted(stored.keys() - known)
    verdict.images = len(stored)
    for image in stored.values():
        oracle.put(_as_photo(image))
    _judge_answers(verdict, world, oracle)
    return verdict


def _judge_image(
    verdict: Verdict,
    image_id: str,
    image: shard_pb.StoredImage | None,
    possible: set[int | None],
    overtaken: set[int | None],
) -> None:
    if image is None:
        if None in possible:
            return
        (verdict.overtaken if None in overtaken else verdict.lost).append(image_id)
        return
    if any(_is_photo(image, seed) for seed in possible if seed is not None):
        return
    if any(_is_photo(image, seed) for seed in overtaken if seed is not None):
        verdict.overtaken.append(image_id)
    elif possible == {None}:
        verdict.phantom.append(image_id)
    else:
        verdict.torn.append(image_id)


def _records(
    world: World, shard: str, partition: Partition
) -> Iterator[tuple[str, shard_pb.StoredImage]]:
    stub = world.shard_stub(shard)
    after = ""
    while True:
        page = stub.ListImages(
            shard_pb.ListImagesRequest(partition_id=partition.id, after=after, page_size=_PAGE),
            timeout=_CALL_S,
        ).images
        for start in range(0, len(page), 100):
            ids = [listed.image.image_id for listed in page[start : start + 100]]
            request = shard_pb.GetImagesRequest(
                partition_id=partition.id, image_ids=ids, include_vectors=True
            )
            for image in stub.GetImages(request, timeout=_CALL_S).images:
                yield image.image_id, image
        if len(page) < _PAGE:
            return
        after = page[-1].image.image_id


def _bytes(image: shard_pb.StoredImage) -> bytes:
    return image.SerializeToString(deterministic=True)


def _as_photo(image: shard_pb.StoredImage) -> StoredPhoto:
    boxes = tuple(box_from_proto(patch.box) for patch in image.patches)
    kind = np.float16 if image.vectors.dtype == 2 else np.float32
    rows = np.frombuffer(image.vectors.data, kind).reshape(len(boxes), -1)
    return StoredPhoto(image.image_id, boxes, rows.astype(np.float32))


def _is_photo(image: shard_pb.StoredImage, seed: int) -> bool:
    wanted = photo_of(image.image_id, seed)
    found = _as_photo(image)
    return found.boxes == wanted.boxes and np.array_equal(
        found.vectors, wanted.vectors.astype(np.float16).astype(np.float32)
    )


def _judge_answers(verdict: Verdict, world: World, oracle: Oracle) -> None:
    for router in range(len(world.routers)):
        for seed in range(_QUERIES):
            query = vector_of(77_000 + seed)
            answer = world.router_stub(router).Search(
                vector_request(query, k=K, exact=True), timeout=_CALL_S
            )
            found = [(h.image_id, box_from_proto(h.box)) for h in answer.hits]
            wanted = [(h.image_id, h.box) for h in oracle.search(query, K)]
            scores = [h.score for h in answer.hits]
            expected = [h.score for h in oracle.search(query, K)]
            close = np.allclose(scores, expected, atol=1e-3) if len(found) == len(wanted) else False
            if found != wanted or not close or answer.coverage.degraded:
                verdict.answers.append(f"query {seed} at router {router}: {found[:2]}")
