"""Messages of patchsearch.shard.v1 <-> the dataclasses inside; pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from patchsearch.errors import InvalidArgument
from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.v1 import search_service_pb2, types_pb2
from patchsearch.wire.filters import filter_from_proto
from patchsearch.wire.search_effort import check_ef, check_nprobe
from patchsearch.wire.vectors import matrix_from_proto, matrix_to_proto, vector_from_proto
from shard_service import validation
from shard_service.answers import PartitionHit, PartitionState
from shard_service.search.query import PartitionQuery
from shard_service.search.ranked_candidates import BoxTuple
from shard_service.store.images import Image, PatchRows, StoredImage


def write_from_proto(message: pb.StoredImage) -> tuple[Image, PatchRows]:
    """An image to be written. Raises InvalidArgument for what is malformed."""
    image = Image(
        image_id=validation.image_key(message.image_id),
        version=message.version,
        uri=message.uri,
        width=message.width,
        height=message.height,
        metadata=message.metadata.SerializeToString(deterministic=True),
        digest=message.digest,
        selection=message.selection,
    )
    vectors = matrix_from_proto(message.vectors)
    count = len(message.patches)
    if len(vectors) != count:
        raise InvalidArgument(
            "PATCHES_INVALID",
            f"image {message.image_id!r} has {count} patches and {len(vectors)} vectors; "
            "send one vector for each patch",
        )
    levels = np.array([patch.level for patch in message.patches], np.int64)
    if count and levels.max() > validation.MAX_LEVEL:
        raise InvalidArgument(
            "PATCHES_INVALID",
            f"image {message.image_id!r} has a patch of level {levels.max()}; "
            f"the limit is {validation.MAX_LEVEL}",
        )
    boxes = [(p.box.x, p.box.y, p.box.w, p.box.h) for p in message.patches]
    return image, PatchRows(
        boxes=np.array(boxes, np.int32).reshape(count, 4),
        levels=levels.astype(np.uint16),
        scores=np.array([patch.selection_score for patch in message.patches], np.float32),
        vectors=vectors,
    )


def query_from_proto(message: pb.SearchPartitionsRequest) -> PartitionQuery:
    """The query of a request.

    Raises InvalidArgument K_OUT_OF_RANGE, VECTOR_INVALID, OVERSAMPLE_OUT_OF_RANGE,
    SCORE_THRESHOLD_INVALID, EF_OUT_OF_RANGE, NPROBE_OUT_OF_RANGE or FILTER_INVALID.
    """
    validation.check_k(message.k)
    oversample = message.oversample if message.HasField("oversample") else None
    if oversample is not None and not 1 <= oversample <= validation.MAX_OVERSAMPLE:
        raise InvalidArgument(
            "OVERSAMPLE_OUT_OF_RANGE",
            f"oversample is {oversample:g}; give 1 to {validation.MAX_OVERSAMPLE}",
        )
    threshold = message.score_threshold if message.HasField("score_threshold") else None
    if threshold is not None and math.isnan(threshold):
        raise InvalidArgument(
            "SCORE_THRESHOLD_INVALID", "score_threshold is NaN; give a cosine, -1 to 1"
        )
    return PartitionQuery(
        vector=vector_from_proto(message.vector),
        k=message.k,
        score_threshold=threshold,
        exact=message.exact,
        oversample=oversample,
        keep_overlapping=message.keep_overlapping,
        ef=check_ef(message.ef) if message.HasField("ef") else None,
        nprobe=check_nprobe(message.nprobe) if message.HasField("nprobe") else None,
        filter=filter_from_proto(message.filter) if message.HasField("filter") else None,
        collection_patches=message.collection_patches,
    )


def add_hits(message: pb.SearchPartitionsResponse, hits: Iterable[PartitionHit]) -> None:
    """Puts hits into an answer; messages made in their place take less than half the time of those
    that are copied there."""
    add = message.hits.add
    for image, box, level, score, suppressed in hits:
        hit = add(
            image_id=image.image_id.decode("utf-8"),
            level=level,
            score=score,
            score_kind=types_pb2.SCORE_KIND_EXACT,
            uri=image.uri,
            image_width=image.width,
            image_height=image.height,
        )
        _set_box(hit.box, box)
        if image.metadata:
            hit.metadata.ParseFromString(image.metadata)
        for other, its_score in suppressed:
            _set_box(hit.suppressed.add(score=its_score).box, other)


def image_to_proto(
    stored: StoredImage, fingerprint: str, *, include_vectors: bool = False
) -> pb.StoredImage:
    """The message of a stored image, with patches where `stored` has them."""
    image = stored.image
    message = pb.StoredImage(
        image_id=image.image_id.decode("utf-8"),
        version=image.version,
        uri=image.uri,
        width=image.width,
        height=image.height,
        digest=image.digest,
        selection=image.selection,
    )
    if image.metadata:
        message.metadata.ParseFromString(image.metadata)
    patches = stored.patches
    if patches is not None:
        for (x, y, w, h), level, score in zip(
            patches.boxes.tolist(), patches.levels.tolist(), patches.scores.tolist(), strict=True
        ):
            message.patches.add(
                box=types_pb2.Box(x=x, y=y, w=w, h=h), level=level, selection_score=score
            )
        if include_vectors:
            message.vectors.CopyFrom(matrix_to_proto(patches.vectors, fingerprint, "float16"))
    return message


def state_to_proto(state: PartitionState, disk_bytes: int) -> pb.PartitionDescription:
    """The message of the state of a partition whose files take `disk_bytes`."""
    identity = state.identity
    return pb.PartitionDescription(
        partition_id=identity.partition_id,
        hash_start=identity.hash_start,
        hash_end=identity.hash_end,
        fingerprint=identity.fingerprint,
        encoder=identity.encoder,
        dim=identity.dim,
        images=state.images,
        patches=state.patches,
        growing_patches=state.growing_patches,
        sealed_segments=state.sealed_segments,
        deleted_patches=state.deleted_patches,
        profile=state.profile,
        codebook=state.codebook,
        damaged_images=state.damaged_images,
        activity=state.activity,
        digest=state.digest.to_bytes(16, "big"),
        tombstones=state.tombstones,
        disk_bytes=disk_bytes,
        min_write_epoch=state.min_write_epoch,
        min_read_epoch=state.min_read_epoch,
        recall=[
            search_service_pb2.MeasuredRecall(
                profile=one.profile,
                checks=one.checks,
                expected_hits=one.expected_hits,
                found_hits=one.found_hits,
            )
            for one in state.recall
        ],
    )


def _set_box(message: types_pb2.Box, box: BoxTuple) -> None:
    message.x, message.y, message.w, message.h = box
