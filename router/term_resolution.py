"""From terms to vectors: one call to the encoder a kind, one to each partition, all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import grpc
import numpy as np
from numpy.typing import NDArray

from patchsearch.encoder.v1 import encoder_service_pb2
from patchsearch.encoder.v1.encoder_service_pb2_grpc import EncoderServiceStub
from patchsearch.errors import InvalidArgument, NotFound, PatchsearchError
from patchsearch.geometry import Box
from patchsearch.shard.v1 import shard_service_pb2
from patchsearch.v1 import types_pb2
from patchsearch.wire.vectors import box_to_proto, matrix_from_proto
from placement.document import Placement
from router.call_scope import CallScope, answer
from router.collection import Collection
from router.encoder_away import naming_the_encoder
from router.image_id import abbreviated
from router.image_reads import ImageReader
from router.query import CropTerm, PatchTerm, Term, TextTerm, VectorTerm
from router.query_reading import at_term

TermT = TypeVar("TermT")
Rows = dict[int, NDArray[np.float32]]
"""Vectors by the position of their term."""


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedTerms:
    """Vectors of terms."""

    vectors: NDArray[np.float32]
    """(n, d), a row per term in their order; not normalised."""
    warnings: dict[int, str]
    """By position of the term."""


class TermResolver:
    """Turns terms into vectors. Thread-safe."""

    def __init__(self, encoder: EncoderServiceStub, images: ImageReader) -> None:
        self._encoder = encoder
        self._images = images

    def resolve(
        self,
        terms: Sequence[Term],
        collection: Collection,
        placement: Placement,
        scope: CallScope,
        reserve_s: float,
    ) -> ResolvedTerms:
        """Vectors of all terms; at least one.

        Raises what the encoder raises about texts and crops, Unavailable ENCODER_UNAVAILABLE where
        it does not answer, InvalidArgument VECTOR_INVALID, NotFound PATCH_NOT_FOUND,
        FailedPrecondition ENCODER_MISMATCH; the first in the order of kinds, not of terms.
        """
        rows: Rows = {}
        warnings: dict[int, str] = {}
        texts: list[tuple[int, TextTerm]] = []
        crops: list[tuple[int, CropTerm]] = []
        patches: list[tuple[int, PatchTerm]] = []
        for position, term in enumerate(terms):
            match term.content:
                case VectorTerm() as content:
                    rows[position] = _own_vector(content, collection, position)
                case TextTerm() as content:
                    texts.append((position, content))
                case CropTerm() as content:
                    crops.append((position, content))
                case PatchTerm() as content:
                    patches.append((position, content))
        # The encoder is at work while shards are read.
        collect: list[Callable[[], None]] = [
            *self._encode_texts(texts, collection, scope, reserve_s, rows, warnings),
            *self._encode_crops(crops, collection, scope, reserve_s, rows),
        ]
        try:
            self._read_patches(patches, collection, placement, scope, reserve_s, rows)
        finally:
            for wait in collect:
                wait()
        return ResolvedTerms(np.stack([rows[i] for i in range(len(terms))]), warnings)

    def _encode_texts(
        self,
        texts: list[tuple[int, TextTerm]],
        collection: Collection,
        scope: CallScope,
        reserve_s: float,
        rows: Rows,
        warnings: dict[int, str],
    ) -> Iterator[Callable[[], None]]:
        for run in _runs(texts, collection.max_batch):
            request = encoder_service_pb2.EncodeTextsRequest(texts=[t.text for _, t in run])
            future = scope.start(self._encoder.EncodeTexts, request, reserve_s=reserve_s)

            def wait(
                run: Sequence[tuple[int, TextTerm]] = run,
                future: grpc.CallFuture[encoder_service_pb2.EncodeTextsResponse] = future,
            ) -> None:
                with naming_the_encoder():
                    response = answer(future)
                _take_rows(response.vectors, [p for p, _ in run], collection, rows)
                for index in response.truncated:
                    position, term = run[index]
                    warnings[position] = (
                        f"text {abbreviated(term.text)!r} was cut at "
                        f"{collection.max_text_tokens} tokens; what came after was not used"
                    )

            yield wait

    def _encode_crops(
        self,
        crops: list[tuple[int, CropTerm]],
        collection: Collection,
        scope: CallScope,
        reserve_s: float,
        rows: Rows,
    ) -> Iterator[Callable[[], None]]:
        for run in _runs(crops, collection.max_batch):
            request = encoder_service_pb2.EncodeCropsRequest()
            for _, crop in run:
                box = None if crop.box is None else box_to_proto(crop.box)
                request.crops.add(image=crop.image, box=box)
            future = scope.start(self._encoder.EncodeCrops, request, reserve_s=reserve_s)

            def wait(
                run: Sequence[tuple[int, CropTerm]] = run,
                future: grpc.CallFuture[encoder_service_pb2.EncodeCropsResponse] = future,
            ) -> None:
                positions = [position for position, _ in run]
                try:
                    with naming_the_encoder():
                        response = answer(future)
                except InvalidArgument as error:
                    raise _of_its_term(error, positions) from error
                _take_rows(response.vectors, positions, collection, rows)

            yield wait

    def _read_patches(
        self,
        patches: list[tuple[int, PatchTerm]],
        collection: Collection,
        placement: Placement,
        scope: CallScope,
        reserve_s: float,
        rows: Rows,
    ) -> None:
        if not patches:
            return
        wanted = list(dict.fromkeys(term.image_id for _, term in patches))
        images = self._images.fetch(wanted, True, placement, scope, reserve_s)
        stored = _patch_vectors(images.values(), collection)
        for position, term in patches:
            vector = stored.get((term.image_id, term.box))
            if vector is None:
                raise at_term(_patch_not_found(term), position)
            rows[position] = vector


def _own_vector(content: VectorTerm, collection: Collection, position: int) -> NDArray[np.float32]:
    collection.check_fingerprint(content.fingerprint, f"term {position}: the vector")
    if len(content.vector) != collection.dim:
        error = InvalidArgument(
            "VECTOR_INVALID",
            f"the vector has {len(content.vector)} numbers; "
            f"{collection.encoder} makes {collection.dim}",
        )
        raise at_term(error, position)
    return content.vector


def _take_rows(
    message: types_pb2.VectorMatrix, positions: Sequence[int], collection: Collection, rows: Rows
) -> None:
    # The encoder may have been restarted with another model since this router looked.
    collection.check_fingerprint(message.fingerprint, "what the encoder sent")
    for position, row in zip(positions, matrix_from_proto(message), strict=True):
        rows[position] = row


def _of_its_term(error: InvalidArgument, positions: Sequence[int]) -> PatchsearchError:
    """The encoder's refusal of the n-th crop, told as that of the term it came from."""
    told = error.metadata.get("position", "")
    if not told.isdecimal() or int(told) >= len(positions):
        return error
    plain = InvalidArgument(
        error.reason, error.message.removeprefix(f"crop {told}: "), metadata=error.metadata
    )
    return at_term(plain, positions[int(told)])


def _patch_vectors(
    images: Iterable[shard_service_pb2.StoredImage], collection: Collection
) -> dict[tuple[str, Box], NDArray[np.float32]]:
    found: dict[tuple[str, Box], NDArray[np.float32]] = {}
    for image in images:
        collection.check_fingerprint(image.vectors.fingerprint, f"image {image.image_id!r}")
        for patch, row in zip(image.patches, matrix_from_proto(image.vectors), strict=True):
            box = patch.box
            found[image.image_id, Box(box.x, box.y, box.w, box.h)] = row
    return found


def _patch_not_found(term: PatchTerm) -> NotFound:
    box = term.box
    return NotFound(
        "PATCH_NOT_FOUND",
        f"image {abbreviated(term.image_id)!r} has no stored patch at "
        f"x={box.x} y={box.y} w={box.w} h={box.h}; search again, it may have been deleted",
    )


def _runs(
    items: Sequence[tuple[int, TermT]], longest: int
) -> Iterator[Sequence[tuple[int, TermT]]]:
    for start in range(0, len(items), longest):
        yield items[start : start + longest]
