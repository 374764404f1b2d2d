"""Finds every other place that shows it: patch-level search over photographs.

`Client` (or `AsyncClient`) talks to a running collection; `Text`, `Crop`, `Region`, `PatchRef` and
`VectorTerm` say what to look for; `Field` and `ImageIdPrefix` limit the images that are searched;
every failure is a `PatchsearchError` from `errors`.
"""

from patchsearch import errors
from patchsearch.client import Client
from patchsearch.client_aio import AsyncClient
from patchsearch.errors import PatchsearchError
from patchsearch.filter_field import Field
from patchsearch.filter_text import format_filter, parse_filter
from patchsearch.filters import (
    AllOf,
    AnyOf,
    Exists,
    Filter,
    ImageIdPrefix,
    Match,
    Not,
    NumberRange,
    TimeRange,
)
from patchsearch.geometry import Box
from patchsearch.photo_reader import PhotoReader
from patchsearch.photos import Photo, PhotoLike, PreparedPhoto
from patchsearch.pixels import Pixels
from patchsearch.query import (
    Crop,
    FilterLike,
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
from patchsearch.wire.security import ChannelSecurity

__all__ = [
    "AllOf",
    "AnyOf",
    "AsyncClient",
    "Box",
    "ChannelSecurity",
    "Client",
    "Collection",
    "Coverage",
    "Crop",
    "Exists",
    "Field",
    "Filter",
    "FilterLike",
    "Hit",
    "ImageDetail",
    "ImageIdPrefix",
    "IngestOutcome",
    "IngestResult",
    "Match",
    "Not",
    "NumberRange",
    "PartitionState",
    "PatchRef",
    "PatchsearchError",
    "Photo",
    "PhotoLike",
    "PhotoReader",
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
    "TimeRange",
    "Timings",
    "VectorTerm",
    "errors",
    "format_filter",
    "parse_filter",
]
