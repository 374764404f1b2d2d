"""Finds every other place that shows it: patch-level search over photographs.

`Client` (or `AsyncClient`) talks to a running collection; `Text`, `Crop`, `Region`, `PatchRef` and
`VectorTerm` say what to look for; `Field` and `ImageIdPrefix` limit the images that are searched;
every failure is a `PatchsearchError` from `errors`.
"""

from patchsearch import errors
from patchsearch.client import Client
from patchsearch.client_aio import AsyncClient
from patchsearch.collection_state import (
    Collection,
    MeasuredRecall,
    PartitionState,
    ReplicaState,
)
from patchsearch.errors import PatchsearchError
from patchsearch.explanation import (
    ExplainedRegion,
    ExplainedWindow,
    SelectionExplanation,
    SelectionRule,
    WindowDecision,
)
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
    Coverage,
    Hit,
    ImageDetail,
    IngestOutcome,
    IngestResult,
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
    "ExplainedRegion",
    "ExplainedWindow",
    "Field",
    "Filter",
    "FilterLike",
    "Hit",
    "ImageDetail",
    "ImageIdPrefix",
    "IngestOutcome",
    "IngestResult",
    "Match",
    "MeasuredRecall",
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
    "ReplicaState",
    "SearchOptions",
    "SearchResult",
    "SelectionExplanation",
    "SelectionRule",
    "StoredImage",
    "StoredPatch",
    "SuppressedPatch",
    "Term",
    "TermLike",
    "Text",
    "TimeRange",
    "Timings",
    "VectorTerm",
    "WindowDecision",
    "errors",
    "format_filter",
    "parse_filter",
]
