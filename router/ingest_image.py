"""One image from the stream to its shard."""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from typing import TypeVar

import grpc
from google.protobuf.struct_pb2 import Struct

from patchsearch.encoder.v1 import encoder_service_pb2
from patchsearch.encoder.v1.encoder_service_pb2_grpc import EncoderServiceStub
from patchsearch.errors import DataLoss, InvalidArgument, ResourceExhausted
from patchsearch.shard.v1 import shard_service_pb2
from patchsearch.v1 import search_service_pb2
from router.call_scope import CallScope
from router.collection import Collection
from router.connections import ShardConnections
from router.image_id import check_image_id
from router.placement import Partition, Placement

MAX_METADATA_BYTES = 64 * 1024
"""Largest metadata of an image, as a serialised google.protobuf.Struct."""

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


@dataclass(frozen=True, slots=True, eq=False)
class ImageToStore:
    """An image as the caller sent it."""

    image_id: str
    content: bytes
    digest: bytes | None
    uri: str
    metadata: Struct | None
    """Passed on as it came; the router looks only at its size and whether it changed."""
    selector: str
    version: int
    """Made when the image was read from the stream: of two with one id, the later one wins."""


class StoreOutcome(enum.Enum):
    """What became of an image that did not fail."""

    STORED = "stored"
    UNCHANGED = "unchanged"
    CONTENT_NEEDED = "content needed"


@dataclass(frozen=True, slots=True)
class StoreResult:
    """What became of an image, and what its sender should know."""

    outcome: StoreOutcome
    patches: int = 0
    warnings: tuple[str, ...] = ()


class ImageWriter:
    """Selects, embeds and stores images one at a time. Thread-safe."""

    def __init__(self, encoder: EncoderServiceStub, shards: ShardConnections) -> None:
        self._encoder = encoder
        self._shards = shards

    def store(
        self, image: ImageToStore, collection: Collection, placement: Placement, scope: CallScope
    ) -> StoreResult:
        """Stores the image durably, or finds that it need not be.

        A full queue at the encoder or the shard is waited for as long as the call lasts. Raises
        InvalidArgument with the reasons that SearchService.IngestImages documents, and what encoder
        and shard raise.
        """
        check_image_id(image.image_id)
        _check_metadata(image)
        digest = _checked_digest(image)
        partition = placement.partition_of(image.image_id)
        if image.digest is not None and self._is_stored(
            image, digest, collection, partition, scope
        ):
            return StoreResult(StoreOutcome.UNCHANGED)
        if not image.content:
            return StoreResult(StoreOutcome.CONTENT_NEEDED)
        selected = self._patiently(
            self._encoder.SelectAndEncode,
            encoder_service_pb2.SelectAndEncodeRequest(
                image=image.content, selector=image.selector
            ),
            scope,
        )
        collection.check_fingerprint(selected.vectors.fingerprint, "what the encoder sent")
        request = shard_service_pb2.PutImagesRequest(partition_id=partition.id)
        _fill(request.images.add(), image, digest, selected)
        stub = self._shards.stub(partition.address)
        (applied,) = self._patiently(stub.PutImages, request, scope).applied
        warnings = list(selected.warnings)
        if not applied:
            warnings.append("a newer write of this image was stored before this one and stays")
        return StoreResult(StoreOutcome.STORED, len(selected.patches), tuple(warnings))

    def _is_stored(
        self,
        image: ImageToStore,
        digest: bytes,
        collection: Collection,
        partition: Partition,
        scope: CallScope,
    ) -> bool:
        request = shard_service_pb2.GetImagesRequest(
            partition_id=partition.id, image_ids=[image.image_id]
        )
        stub = self._shards.stub(partition.address)
        try:
            found = self._patiently(stub.GetImages, request, scope).images
        except DataLoss:
            # What is stored is damaged, and writing it again is what mends it.
            return False
        selection = f"{image.selector or collection.selector}/{collection.saliency}"
        return any(
            stored.digest == digest
            and stored.uri == image.uri
            and stored.metadata == (image.metadata or Struct())
            and stored.selection == selection
            for stored in found
        )

    def _patiently(
        self,
        method: grpc.UnaryUnaryMultiCallable[RequestT, ResponseT],
        request: RequestT,
        scope: CallScope,
    ) -> ResponseT:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return scope.call(method, request)
            except ResourceExhausted as error:
                # A full disk or a message over the limit stays so; only a queue drains.
                if error.reason != "OVERLOADED":
                    raise
                scope.pause(error.retry_after_s or pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _check_metadata(image: ImageToStore) -> None:
    size = 0 if image.metadata is None else image.metadata.ByteSize()
    if size > MAX_METADATA_BYTES:
        raise InvalidArgument(
            "METADATA_TOO_LARGE",
            f"metadata is {size} bytes; at most {MAX_METADATA_BYTES} are stored with an image: "
            "keep the rest elsewhere and store a reference",
        )


def _checked_digest(image: ImageToStore) -> bytes:
    """SHA-256 of the content, or the digest that stands for content left out."""
    claimed = image.digest
    if claimed is not None and len(claimed) != hashlib.sha256().digest_size:
        raise InvalidArgument(
            "DIGEST_MISMATCH", f"digest is {len(claimed)} bytes; a SHA-256 digest is 32"
        )
    if not image.content:
        if claimed is None:
            raise InvalidArgument(
                "IMAGE_UNDECODABLE", "content is 0 bytes; send a JPEG, PNG or WebP, or a digest"
            )
        return claimed
    actual = hashlib.sha256(image.content).digest()
    if claimed is not None and claimed != actual:
        raise InvalidArgument(
            "DIGEST_MISMATCH",
            f"content has SHA-256 {actual.hex()}, not {claimed.hex()} as its sender said; "
            "it was changed on the way or the digest is of another file: send it again",
        )
    return actual


def _fill(
    stored: shard_service_pb2.StoredImage,
    image: ImageToStore,
    digest: bytes,
    selected: encoder_service_pb2.SelectAndEncodeResponse,
) -> None:
    stored.image_id = image.image_id
    stored.version = image.version
    stored.uri = image.uri
    stored.width = selected.width
    stored.height = selected.height
    if image.metadata is not None:
        stored.metadata.CopyFrom(image.metadata)
    stored.digest = digest
    stored.selection = selected.selection
    stored.patches.extend(
        search_service_pb2.Patch(box=patch.box, level=patch.level, selection_score=patch.score)
        for patch in selected.patches
    )
    stored.vectors.CopyFrom(selected.vectors)
