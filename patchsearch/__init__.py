"""Finds every other place that shows it: patch-level search over photographs.

`Client` (or `AsyncClient`) talks to a running collection; `Text`, `Crop`, `Region`, `PatchRef` and
`VectorTerm` say what to look for; every failure is a `PatchsearchError` from `errors`.
"""

from patchsearch import errors
from patchsearch.client import Client
from patchsearch.client_aio import AsyncClient
from patchsearch.errors import PatchsearchError
from patchsearch.geometry import Box
from patchsearch.photos import Photo, PhotoLike, PreparedPhoto
from patchsearch.pixels import Pixels
from patchsearch.query import (
    Crop,
    PatchRef,
    Query,
    Region,
    SearchOptions,
    Term,
    TermLike,
    Text,
    VectorTerm,
)
from patchsearch.results import (
    Collection,
    Coverage,
    Hit,
    ImageDetail,
    IngestOutcome,
    IngestResult,
    PartitionState,
    SearchResult,
    StoredImage,
    StoredPatch,
    SuppressedPatch,
    Timings,
)

__all__ = [
    "AsyncClient",
    "Box",
    "Client",
    "Collection",
    "Coverage",
    "Crop",
    "Hit",
    "ImageDetail",
    "IngestOutcome",
    "IngestResult",
    "PartitionState",
    "PatchRef",
    "PatchsearchError",
    "Photo",
    "PhotoLike",
    "Pixels",
    "PreparedPhoto",
    "Query",
    "Region",
    "SearchOptions",
    "SearchResult",
    "StoredImage",
    "StoredPatch",
    "SuppressedPatch",
    "Term",
    "TermLike",
    "Text",
    "Timings",
    "VectorTerm",
    "errors",
]
