"""One image from the stream to its replicas."""

from __future__ import annotations

import enum
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.struct_pb2 import Struct

from patchsearch.encoder.v1 import encoder_service_pb2
from patchsearch.encoder.v1.encoder_service_pb2_grpc import EncoderServiceStub
from patchsearch.errors import InvalidArgument, ResourceExhausted, Unavailable
from patchsearch.shard.v1 import shard_service_pb2
from patchsearch.v1 import search_service_pb2
from placement.document import Placement
from router.call_scope import CallScope
from router.collection import Collection
from router.consistency import Consistency
from router.encoder_away import naming_the_encoder
from router.image_id import check_image_id
from router.stored_check import StoredCheck
from router.writes import ReplicatedWriter

MAX_METADATA_BYTES = 64 * 1024
"""Largest metadata of an image, as a serialised google.protobuf.Struct."""

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
_MISSING_PAUSES_S = (0.1, 0.3, 0.9)
_MISSING_S = 5.0

ResultT = TypeVar("ResultT")


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
    consistency: Consistency


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

    def __init__(
        self, encoder: EncoderServiceStub, writer: ReplicatedWriter, stored: StoredCheck
    ) -> None:
        self._encoder = encoder
        self._writer = writer
        self._stored = stored

    def store(
        self,
        image: ImageToStore,
        collection: Collection,
        placement: Callable[[], Placement],
        scope: CallScope,
    ) -> StoreResult:
        """Stores the image durably, or finds that it need not be.

        `placement` tells the one in force, which may change while the encoder is at work. A full
        queue at the encoder or the shards is waited for as long as the call lasts. Raises
        InvalidArgument with the reasons that SearchService.IngestImages documents, and what encoder
        and shards raise.
        """
        check_image_id(image.image_id)
        _check_metadata(image)
        digest = _checked_digest(image)
        if image.digest is not None and _patiently(
            lambda: self._is_stored(image, digest, collection, placement(), scope), scope
        ):
            return StoreResult(StoreOutcome.UNCHANGED)
        if not image.content:
            return StoreResult(StoreOutcome.CONTENT_NEEDED)
        request = encoder_service_pb2.SelectAndEncodeRequest(
            image=image.content, selector=image.selector
        )
        with naming_the_encoder():
            selected = _patiently(lambda: scope.call(self._encoder.SelectAndEncode, request), scope)
        collection.check_fingerprint(selected.vectors.fingerprint, "what the encoder sent")
        stored = _stored_image(image, digest, selected)
        stays = _patiently(
            lambda: self._writer.put(stored, image.consistency, placement(), scope), scope
        )
        warnings = list(selected.warnings)
        if not stays:
            warnings.append("a newer write of this image was stored before this one and stays")
        return StoreResult(StoreOutcome.STORED, len(selected.patches), tuple(warnings))

    def _is_stored(
        self,
        image: ImageToStore,
        digest: bytes,
        collection: Collection,
        placement: Placement,
        scope: CallScope,
    ) -> bool:
        selection = f"{image.selector or collection.selector}/{collection.saliency}"

        def matches(stored: shard_service_pb2.StoredImage) -> bool:
            return (
                stored.digest == digest
                and stored.uri == image.uri
                and stored.metadata == (image.metadata or Struct())
                and stored.selection == selection
            )

        return self._stored.is_stored(image.image_id, matches, image.consistency, placement, scope)


def _patiently(attempt: Callable[[], ResultT], scope: CallScope) -> ResultT:
    """Tries again what is safe to repeat: while a queue is full for as long as the call lasts, and
    a few times where replicas are missing, which may be starting again just now."""
    pause_s = _FIRST_PAUSE_S
    missing_pauses_s = iter(_MISSING_PAUSES_S)
    until = time.monotonic() + _MISSING_S
    while True:
        try:
            return attempt()
        except ResourceExhausted as error:
            # A full disk or a message over the limit stays so; only a queue drains.
            if error.reason != "OVERLOADED":
                raise
            scope.pause(error.retry_after_s or pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        except Unavailable:
            missing_s = next(missing_pauses_s, None)
            if missing_s is None or missing_s > scope.remaining_s() or time.monotonic() > until:
                raise
            scope.pause(missing_s)


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


def _stored_image(
    image: ImageToStore,
    digest: bytes,
    selected: encoder_service_pb2.SelectAndEncodeResponse,
) -> shard_service_pb2.StoredImage:
    return shard_service_pb2.StoredImage(
        image_id=image.image_id,
        version=image.version,
        uri=image.uri,
        width=selected.width,
        height=selected.height,
        metadata=image.metadata,
        digest=digest,
        selection=selected.selection,
        patches=[
            search_service_pb2.Patch(box=patch.box, level=patch.level, selection_score=patch.score)
            for patch in selected.patches
        ],
        vectors=selected.vectors,
    )
