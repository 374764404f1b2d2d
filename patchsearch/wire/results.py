"""Response messages -> results. Pure functions, shared by both clients."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping

from google.rpc import status_pb2

from patchsearch import collection_state as state
from patchsearch import results
from patchsearch.errors import InternalError, PatchsearchError
from patchsearch.geometry import Box
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.v1 import types_pb2
from patchsearch.wire.status import error_from_status
from patchsearch.wire.structs import struct_from_proto
from patchsearch.wire.vectors import matrix_from_proto

_SCORE_KINDS: Mapping[int, results.ScoreKind] = {
    types_pb2.SCORE_KIND_EXACT: "exact",
    types_pb2.SCORE_KIND_APPROXIMATE: "approximate",
}
_OUTCOMES: Mapping[int, results.IngestOutcome] = {
    pb.INGEST_OUTCOME_STORED: results.IngestOutcome.STORED,
    pb.INGEST_OUTCOME_UNCHANGED: results.IngestOutcome.UNCHANGED,
    pb.INGEST_OUTCOME_FAILED: results.IngestOutcome.FAILED,
}


def search_result(message: pb.SearchResponse) -> results.SearchResult:
    """The answer to one search."""
    return results.SearchResult(
        hits=tuple(_hit(hit) for hit in message.hits),
        coverage=_coverage(message.coverage),
        epoch=message.epoch,
        fingerprint=message.fingerprint,
        timings=results.Timings(
            encode_ms=message.timings.encode_ms,
            fan_out_ms=message.timings.fan_out_ms,
            merge_ms=message.timings.merge_ms,
            total_ms=message.timings.total_ms,
        ),
        candidates_read=message.candidates_read,
        warnings=tuple(message.warnings),
    )


def batch_results(
    message: pb.BatchSearchResponse,
) -> tuple[results.SearchResult | PatchsearchError, ...]:
    """The outcomes of a batch, in the order of its queries."""
    return tuple(
        search_result(outcome.response) if outcome.HasField("response") else _error(outcome.error)
        for outcome in message.results
    )


def ingest_result(message: pb.IngestImagesResponse, position: int) -> results.IngestResult:
    """The final answer for the photo at `position`; not for CONTENT_NEEDED, which is none."""
    outcome = _OUTCOMES.get(message.outcome, results.IngestOutcome.FAILED)
    error: PatchsearchError | None = None
    if message.outcome not in _OUTCOMES:
        error = InternalError(
            "OUTCOME_UNKNOWN",
            f"the server answered with the outcome {message.outcome}; update this client",
        )
    elif outcome is results.IngestOutcome.FAILED:
        error = _error(message.error)
    return results.IngestResult(
        image_id=message.image_id,
        outcome=outcome,
        patches=message.patches,
        position=position,
        error=error,
        warnings=tuple(message.warnings),
    )


def image_detail(message: pb.GetImageResponse) -> results.ImageDetail:
    """One image with its patches."""
    has_vectors = message.HasField("vectors")
    return results.ImageDetail(
        image=stored_image(message.image),
        patches=tuple(
            results.StoredPatch(_box(patch.box), patch.level, patch.selection_score)
            for patch in message.patches
        ),
        vectors=matrix_from_proto(message.vectors) if has_vectors else None,
        fingerprint=message.vectors.fingerprint if has_vectors else "",
    )


def stored_image(message: pb.Image) -> results.StoredImage:
    """One image without its patches."""
    return results.StoredImage(
        image_id=message.image_id,
        uri=message.uri,
        width=message.width,
        height=message.height,
        metadata=struct_from_proto(message.metadata),
        digest=message.digest,
        patch_count=message.patch_count,
        update_time=message.update_time.ToDatetime(tzinfo=datetime.UTC),
        selection=message.selection,
    )


def collection(message: pb.DescribeCollectionResponse) -> state.Collection:
    """The collection's state."""
    answering = sum(partition.available for partition in message.partitions)
    return state.Collection(
        encoder=message.encoder,
        fingerprint=message.fingerprint,
        dim=message.dim,
        images=message.images,
        patches=message.patches,
        epoch=message.epoch,
        partitions=tuple(_partition(partition) for partition in message.partitions),
        selector=message.selector,
        saliency=message.saliency,
        version=message.version,
        coverage=answering / len(message.partitions) if message.partitions else 1.0,
        recall=_recall(one for partition in message.partitions for one in partition.recall),
    )


def _error(message: status_pb2.Status) -> PatchsearchError:
    if message.code == 0:
        return InternalError("ERROR_MISSING", "the server failed without saying why; read its log")
    return error_from_status(message)


def _hit(message: pb.Hit) -> results.Hit:
    return results.Hit(
        image_id=message.image_id,
        box=_box(message.box),
        score=message.score,
        score_kind=_SCORE_KINDS.get(message.score_kind, "approximate"),
        level=message.level,
        uri=message.uri,
        image_width=message.image_width,
        image_height=message.image_height,
        metadata=struct_from_proto(message.metadata),
        suppressed=tuple(
            results.SuppressedPatch(_box(patch.box), patch.score) for patch in message.suppressed
        ),
    )


def _box(message: types_pb2.Box) -> Box:
    return Box(message.x, message.y, message.w, message.h)


def _coverage(message: types_pb2.Coverage) -> results.Coverage:
    return results.Coverage(
        partitions_total=message.partitions_total,
        partitions_answered=message.partitions_answered,
        partitions_timed_out=message.partitions_timed_out,
        partitions_failed=message.partitions_failed,
        patches_covered=message.patches_covered,
        patches_total=message.patches_total,
        degraded=message.degraded,
    )


def _partition(message: pb.PartitionState) -> state.PartitionState:
    return state.PartitionState(
        partition_id=message.partition_id,
        shard=message.shard,
        available=message.available,
        images=message.images,
        patches=message.patches,
        growing_patches=message.growing_patches,
        deleted_patches=message.deleted_patches,
        damaged_images=message.damaged_images,
        sealed_segments=message.sealed_segments,
        profile=message.profile,
        activity=message.activity,
        replicas=tuple(_replica(replica) for replica in message.replicas),
        recall=_recall(message.recall),
    )


def _replica(message: pb.ReplicaState) -> state.ReplicaState:
    health: state.ReplicaHealth = "in use"
    if not message.available:
        health = "away"
    elif message.joining:
        health = "joining"
    elif message.behind:
        health = "behind"
    return state.ReplicaState(message.shard, message.address, health, message.patches)


def _recall(messages: Iterable[pb.MeasuredRecall]) -> tuple[state.MeasuredRecall, ...]:
    """The sums by profile."""
    sums: dict[str, tuple[int, int, int]] = {}
    for one in messages:
        checks, expected, found = sums.get(one.profile, (0, 0, 0))
        sums[one.profile] = (
            checks + one.checks,
            expected + one.expected_hits,
            found + one.found_hits,
        )
    return tuple(
        state.MeasuredRecall(profile, *counts, share=counts[2] / counts[1] if counts[1] else None)
        for profile, counts in sorted(sums.items())
    )
