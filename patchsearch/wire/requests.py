"""Calls as Python says them -> request messages. Pure functions, shared by both clients."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from patchsearch.errors import InvalidArgument
from patchsearch.photos import PreparedPhoto
from patchsearch.pixels import encoded_pixels
from patchsearch.query import (
    Crop,
    PatchRef,
    Query,
    Region,
    Term,
    TermLike,
    Text,
    VectorTerm,
    as_filter,
    as_query,
    as_term,
)
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.v1 import types_pb2
from patchsearch.wire.filters import filter_to_proto
from patchsearch.wire.search_effort import check_ef, check_nprobe
from patchsearch.wire.structs import struct_to_proto
from patchsearch.wire.vectors import box_to_proto, vector_to_proto

MAX_BATCH = 256
"""Searches in one BatchSearch call."""
MAX_DELETES = 1000
"""Ids in one DeleteImages call."""
MAX_K = 1000
"""Hits that one search can ask for."""

_T = TypeVar("_T")


def search_request(query: Query) -> pb.SearchRequest:
    """The message of a search; reads the files that its crops name.

    Raises InvalidArgument for what can be told without the server: K_OUT_OF_RANGE, QUERY_EMPTY
    (no terms), EF_OUT_OF_RANGE, NPROBE_OUT_OF_RANGE, FILTER_INVALID, TEXT_INVALID, VECTOR_INVALID,
    FILE_UNREADABLE, PIXELS_INVALID.
    """
    if not query.terms:
        raise InvalidArgument("QUERY_EMPTY", "query has no terms; give a text, a crop or a patch")
    if query.k is not None and not 1 <= query.k <= MAX_K:
        raise InvalidArgument("K_OUT_OF_RANGE", f"k is {query.k}; ask for 1 to {MAX_K} hits")
    return pb.SearchRequest(
        terms=[term_to_proto(as_term(term)) for term in query.terms],
        k=query.k,
        score_threshold=query.score_threshold,
        min_coverage=query.min_coverage,
        exact=query.exact,
        oversample=query.oversample,
        keep_overlapping=query.keep_overlapping,
        filter=None if query.filter is None else filter_to_proto(as_filter(query.filter)),
        ef=None if query.ef is None else check_ef(query.ef),
        nprobe=None if query.nprobe is None else check_nprobe(query.nprobe),
    )


def term_to_proto(term: Term) -> types_pb2.Term:
    """The message of one term."""
    weight = float(term.weight)
    match term:
        case Text():
            return types_pb2.Term(text=_text(term.text, "text", "TEXT_INVALID"), weight=weight)
        case Crop():
            return types_pb2.Term(crop=encoded_pixels(term.pixels), weight=weight)
        case Region():
            region = types_pb2.ImageRegion(
                image=encoded_pixels(term.pixels), box=box_to_proto(term.box)
            )
            return types_pb2.Term(region=region, weight=weight)
        case PatchRef():
            reference = types_pb2.PatchReference(
                image_id=_image_id(term.image_id), box=box_to_proto(term.box)
            )
            return types_pb2.Term(patch=reference, weight=weight)
        case VectorTerm():
            vector = vector_to_proto(np.asarray(term.vector), term.fingerprint)
            return types_pb2.Term(vector=vector, weight=weight)


def batch_requests(queries: Iterable[Query | TermLike]) -> Iterator[pb.BatchSearchRequest]:
    """The messages of a batch of any length, `MAX_BATCH` searches each, built as they are taken."""
    for chunk in _chunks(queries, MAX_BATCH):
        yield pb.BatchSearchRequest(requests=[search_request(as_query(query)) for query in chunk])


def ingest_request(
    photo: PreparedPhoto, *, selector: str, with_content: bool
) -> pb.IngestImagesRequest:
    """The message that stores a photo, or asks by its digest whether its content is needed.

    `selector` is for photos that name none themselves.

    Raises InvalidArgument IMAGE_ID_INVALID or METADATA_INVALID.
    """
    return pb.IngestImagesRequest(
        image_id=_image_id(photo.image_id),
        content=photo.content if with_content else b"",
        digest=photo.digest,
        uri=_text(photo.uri, "uri", "URI_INVALID"),
        metadata=struct_to_proto(photo.metadata),
        selector=photo.selector or selector,
    )


def delete_requests(image_ids: str | Iterable[str]) -> Iterator[pb.DeleteImagesRequest]:
    """The messages that delete any number of images, `MAX_DELETES` ids each."""
    ids = [image_ids] if isinstance(image_ids, str) else image_ids
    for chunk in _chunks(ids, MAX_DELETES):
        yield pb.DeleteImagesRequest(image_ids=[_image_id(image_id) for image_id in chunk])


def get_request(image_id: str, *, include_vectors: bool) -> pb.GetImageRequest:
    """The message that asks for one image."""
    return pb.GetImageRequest(image_id=_image_id(image_id), include_vectors=include_vectors)


def list_request(prefix: str, page_size: int, page_token: str) -> pb.ListImagesRequest:
    """The message that asks for one page of images."""
    if not 0 <= page_size <= 1000:
        raise InvalidArgument(
            "PAGE_SIZE_OUT_OF_RANGE", f"page_size is {page_size}; ask for 1 to 1000"
        )
    return pb.ListImagesRequest(
        page_size=page_size,
        page_token=page_token,
        prefix=_text(prefix, "prefix", "IMAGE_ID_INVALID"),
    )


def _image_id(image_id: str) -> str:
    return _text(image_id, "image_id", "IMAGE_ID_INVALID")


def _text(value: str, what: str, reason: str) -> str:
    # File names that are not UTF-8 reach Python as lone surrogates, which no message can hold.
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidArgument(
            reason, f"{what} {value!a} is not valid UTF-8; name it in a manifest or rename the file"
        ) from error
    return value


def _chunks(values: Iterable[_T], size: int) -> Iterator[Sequence[_T]]:
    iterator = iter(values)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
