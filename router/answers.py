"""From the router's results to the messages of the public API."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from patchsearch.geometry import Box
from patchsearch.shard.v1 import shard_service_pb2
from patchsearch.v1 import search_service_pb2, types_pb2
from patchsearch.wire.vectors import matrix_from_proto, matrix_to_proto
from placement.document import Partition, Placement
from router.clock import milliseconds_of
from router.collection import Collection
from router.replica_look import Description, Look
from router.replica_states import ReplicaStates
from router.search import SearchAnswer


def search_response(
    answer: SearchAnswer, collection: Collection
) -> search_service_pb2.SearchResponse:
    """The answer to a search."""
    coverage, timings = answer.coverage, answer.timings
    return search_service_pb2.SearchResponse(
        hits=answer.hits,
        coverage=types_pb2.Coverage(
            partitions_total=coverage.partitions_total,
            partitions_answered=coverage.partitions_answered,
            partitions_timed_out=coverage.partitions_timed_out,
            partitions_failed=coverage.partitions_failed,
            patches_covered=coverage.patches_covered,
            patches_total=coverage.patches_total,
            degraded=coverage.degraded,
        ),
        epoch=answer.epoch,
        fingerprint=collection.fingerprint,
        timings=types_pb2.Timings(
            encode_ms=timings.encode_ms,
            fan_out_ms=timings.fan_out_ms,
            merge_ms=timings.merge_ms,
            total_ms=timings.total_ms,
        ),
        candidates_read=answer.candidates_read,
        warnings=answer.warnings,
    )


def image_message(
    stored: shard_service_pb2.StoredImage, patch_count: int
) -> search_service_pb2.Image:
    """What is stored of an image, without its patches."""
    milliseconds = milliseconds_of(stored.version)
    return search_service_pb2.Image(
        image_id=stored.image_id,
        uri=stored.uri,
        width=stored.width,
        height=stored.height,
        metadata=stored.metadata if stored.HasField("metadata") else None,
        digest=stored.digest,
        patch_count=patch_count,
        selection=stored.selection,
        update_time=Timestamp(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000),
    )


def get_image_response(
    stored: shard_service_pb2.StoredImage,
) -> search_service_pb2.GetImageResponse:
    """An image with its patches by box, and their vectors where the shard sent them."""
    boxes = [Box(p.box.x, p.box.y, p.box.w, p.box.h) for p in stored.patches]
    order = sorted(range(len(boxes)), key=boxes.__getitem__)
    response = search_service_pb2.GetImageResponse(
        image=image_message(stored, len(boxes)), patches=[stored.patches[i] for i in order]
    )
    if stored.HasField("vectors"):
        matrix = matrix_from_proto(stored.vectors)[order]
        half = stored.vectors.dtype == types_pb2.VECTOR_DTYPE_FLOAT16
        response.vectors.CopyFrom(
            matrix_to_proto(matrix, stored.vectors.fingerprint, "float16" if half else "float32")
        )
    return response


def collection_response(
    collection: Collection,
    placement: Placement,
    look: Look,
    states: ReplicaStates,
    version: str,
) -> search_service_pb2.DescribeCollectionResponse:
    """The state of the collection; `look` tells of the replicas that answered."""
    response = search_service_pb2.DescribeCollectionResponse(
        encoder=collection.encoder,
        fingerprint=collection.fingerprint,
        dim=collection.dim,
        epoch=placement.epoch,
        selector=collection.selector,
        saliency=collection.saliency,
        version=version,
    )
    for partition in placement.partitions:
        state = _partition_state(partition, look, states)
        response.partitions.append(state)
        response.images += state.images
        response.patches += state.patches
    return response


def _partition_state(
    partition: Partition, look: Look, states: ReplicaStates
) -> search_service_pb2.PartitionState:
    """The state that one replica tells, and how all of them are."""
    state = search_service_pb2.PartitionState(
        partition_id=partition.id, shard=partition.replicas[0].address
    )
    told = [replica.address for replica in look.holders(partition)]
    # One that misses nothing speaks for the partition.
    told.sort(key=lambda address: states.behind(partition.id, address))
    if told:
        description = look.replicas[partition.id, told[0]]
        state.shard = told[0]
        state.available = True
        state.images = description.images
        state.patches = description.patches
        state.growing_patches = description.growing_patches
        state.deleted_patches = description.deleted_patches
        state.damaged_images = description.damaged_images
        state.sealed_segments = description.sealed_segments
        state.profile = description.profile
        state.activity = description.activity
    for replica in partition.written:
        own = look.replicas.get((partition.id, replica.address))
        state.replicas.add(
            shard=replica.shard,
            address=replica.address,
            available=own is not None,
            behind=states.behind(partition.id, replica.address),
            patches=0 if own is None else own.patches,
            joining=replica in partition.joining,
        )
    state.recall.extend(_recall([look.replicas[partition.id, address] for address in told]))
    return state


def _recall(replicas: Sequence[Description]) -> list[search_service_pb2.MeasuredRecall]:
    """What all replicas measured, by profile: each checks searches of its own."""
    found: dict[str, search_service_pb2.MeasuredRecall] = {}
    for replica in replicas:
        for one in replica.recall:
            total = found.setdefault(
                one.profile, search_service_pb2.MeasuredRecall(profile=one.profile)
            )
            total.checks += one.checks
            total.expected_hits += one.expected_hits
            total.found_hits += one.found_hits
    return [found[profile] for profile in sorted(found)]
