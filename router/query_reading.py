"""SearchRequest -> SearchQuery: every number is checked before any work is done."""

from __future__ import annotations

import math

from google.protobuf.message import Message

from patchsearch.errors import InvalidArgument, PatchsearchError
from patchsearch.v1 import search_service_pb2, types_pb2
from patchsearch.wire.filters import filter_from_proto
from patchsearch.wire.search_effort import check_ef, check_nprobe
from patchsearch.wire.vectors import box_from_proto, vector_from_proto
from router.composition import check_weights
from router.image_id import check_image_id
from router.query import (
    MAX_K,
    CropTerm,
    PatchTerm,
    SearchQuery,
    Term,
    TermContent,
    TextTerm,
    VectorTerm,
)

# Stored vectors are of unit length up to float16 rounding, so that a score may be a hair over 1; it
# can be sent back as a threshold.
_SCORE_SLACK = 1e-3


def read_query(request: search_service_pb2.SearchRequest, default_k: int) -> SearchQuery:
    """Checks a request and makes it a query.

    Raises InvalidArgument with the reasons that SearchService.Search documents; the message names
    the term by its position from 0.
    """
    k = request.k if request.HasField("k") else default_k
    if not 1 <= k <= MAX_K:
        raise InvalidArgument("K_OUT_OF_RANGE", f"k is {k}; ask for 1 to {MAX_K}")
    # Weights first: a query without terms or with too many is refused before its terms are read.
    check_weights([_weight(term) for term in request.terms])
    return SearchQuery(
        terms=tuple(_read_term(term, position) for position, term in enumerate(request.terms)),
        k=k,
        score_threshold=_optional(request, "score_threshold", -1.0, 1.0, slack=_SCORE_SLACK),
        min_coverage=_optional(request, "min_coverage", 0.0, 1.0) or 0.0,
        exact=request.exact,
        oversample=_optional(request, "oversample", 1.0, 100.0),
        keep_overlapping=request.keep_overlapping,
        filter=filter_from_proto(request.filter) if request.HasField("filter") else None,
        ef=check_ef(request.ef) if request.HasField("ef") else None,
        nprobe=check_nprobe(request.nprobe) if request.HasField("nprobe") else None,
    )


def _weight(term: types_pb2.Term) -> float:
    return term.weight if term.HasField("weight") else 1.0


def _read_term(term: types_pb2.Term, position: int) -> Term:
    try:
        return Term(_read_content(term), _weight(term))
    except InvalidArgument as error:
        raise at_term(error, position) from None


def _read_content(term: types_pb2.Term) -> TermContent:
    match term.WhichOneof("content"):
        case "crop":
            return CropTerm(_pixels(term.crop), None)
        case "region":
            region = term.region
            box = box_from_proto(region.box) if region.HasField("box") else None
            return CropTerm(_pixels(region.image), box)
        case "text":
            if not term.text.strip():
                raise InvalidArgument("TEXT_EMPTY", "the text is blank; write what to look for")
            return TextTerm(term.text)
        case "patch":
            check_image_id(term.patch.image_id)
            return PatchTerm(term.patch.image_id, box_from_proto(term.patch.box))
        case "vector":
            return VectorTerm(vector_from_proto(term.vector), term.vector.fingerprint)
        case _:
            raise InvalidArgument(
                "QUERY_EMPTY", "the term has no content; set crop, region, text, patch or vector"
            )


def _pixels(image: bytes) -> bytes:
    if not image:
        raise InvalidArgument("CROP_UNDECODABLE", "the crop is 0 bytes; send a JPEG, PNG or WebP")
    return image


def _optional(
    request: Message, name: str, least: float, most: float, slack: float = 0.0
) -> float | None:
    if not request.HasField(name):
        return None
    value = float(getattr(request, name))
    if not (math.isfinite(value) and least - slack <= value <= most + slack):
        raise InvalidArgument(
            f"{name.upper()}_OUT_OF_RANGE", f"{name} is {value:g}; it must be {least:g} to {most:g}"
        )
    return value


def at_term(error: PatchsearchError, position: int) -> PatchsearchError:
    """The same error with the term's position in front of its message and in its metadata."""
    return type(error)(
        error.reason,
        f"term {position}: {error.message}",
        metadata={**error.metadata, "term": str(position)},
    )
