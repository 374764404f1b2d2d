"""What the collection answers: frozen dataclasses and numpy arrays, independent of the wire."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from patchsearch import hit_pictures
from patchsearch.errors import PatchsearchError
from patchsearch.geometry import Box
from patchsearch.pixels import Pixels

if TYPE_CHECKING:
    import fiftyone
    import pandas as pd

    from patchsearch.exports import SetItem
    from patchsearch.photo_reader import ReadPhoto

ScoreKind = Literal["exact", "approximate"]
"""`exact`: cosine with the stored vector. `approximate`: estimated from compressed codes."""


@dataclass(frozen=True, slots=True)
class SuppressedPatch:
    """A patch that was left out because a better one of the same image overlaps it."""

    box: Box
    score: float


@dataclass(frozen=True, slots=True)
class Hit:
    """One place that shows what was looked for.

    `score` is the cosine between query and patch, -1 to 1. `level` is 1 for patches of the whole
    image, 2 for patches found inside a patch of level 1. `uri` and `metadata` are what the caller
    stored with the image; numbers in metadata without a fraction come back as int.
    """

    image_id: str
    box: Box
    score: float
    score_kind: ScoreKind
    level: int
    uri: str
    image_width: int
    image_height: int
    metadata: Mapping[str, Any]
    suppressed: tuple[SuppressedPatch, ...]

    def crop(
        self, photo: Pixels | None = None, *, read_photo: ReadPhoto | None = None
    ) -> Image.Image:
        """The pixels of the box, at full resolution, upright RGB.

        From `photo` where it is given, else from what `read_photo` gives for the uri (such as
        `patchsearch.PhotoReader`, which reads below certain folders alone), else from the file that
        the uri names on this machine. Raises InvalidArgument URI_MISSING, URI_UNSUPPORTED,
        FILE_UNREADABLE, IMAGE_UNDECODABLE or IMAGE_CHANGED, and what `read_photo` raises.
        """
        return hit_pictures.crop_of(self, photo, read_photo)

    def show(self, photo: Pixels | None = None, *, read_photo: ReadPhoto | None = None) -> None:
        """Displays the box in its surroundings, in a notebook or the desktop's viewer.

        Takes and raises what `crop` does.
        """
        hit_pictures.show(hit_pictures.preview_of(self, photo, read_photo))

    def _repr_html_(self) -> str:
        return hit_pictures.html_of_hit(self)


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the collection an answer speaks for; `degraded` when anything is missing."""

    partitions_total: int
    partitions_answered: int
    partitions_timed_out: int
    partitions_failed: int
    patches_covered: int
    patches_total: int
    degraded: bool


@dataclass(frozen=True, slots=True)
class Timings:
    """Where a search's time went, in milliseconds, measured at the router."""

    encode_ms: float
    fan_out_ms: float
    merge_ms: float
    total_ms: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first (score, then image_id by bytes, then box), and how far to trust them.

    Iterating, `len()` and indexing go over the hits.
    """

    hits: tuple[Hit, ...]
    coverage: Coverage
    epoch: int
    fingerprint: str
    timings: Timings
    candidates_read: int
    warnings: tuple[str, ...]

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    def __getitem__(self, index: int) -> Hit:
        return self.hits[index]

    @property
    def scores(self) -> NDArray[np.float32]:
        """(n,) float32, the hits' scores."""
        return np.array([hit.score for hit in self.hits], dtype=np.float32)

    @property
    def boxes(self) -> NDArray[np.int32]:
        """(n, 4) int32, the hits' boxes as x, y, w, h."""
        rows = [(hit.box.x, hit.box.y, hit.box.w, hit.box.h) for hit in self.hits]
        return np.array(rows, dtype=np.int32).reshape(len(rows), 4)

    def to_items(self, *, label: str = "object") -> list[SetItem]:
        """The hits as items of a set, under one label, unjudged; see `patchsearch.exports`."""
        from patchsearch.exports import item_of

        return [item_of(hit, label=label) for hit in self.hits]

    def to_coco(self, *, label: str = "object") -> dict[str, Any]:
        """The hits as COCO's dictionary; see `patchsearch.exports.coco`."""
        from patchsearch.exports.coco import coco_document

        return coco_document(self.to_items(label=label))

    def to_pandas(self) -> pd.DataFrame:
        """One row a hit, best first; see `patchsearch.exports.tables.hits_to_pandas`."""
        from patchsearch.exports.tables import hits_to_pandas

        return hits_to_pandas(self.hits)

    def to_fiftyone(self, *, label: str = "object", name: str | None = None) -> fiftyone.Dataset:
        """A FiftyOne data set; see `patchsearch.exports.fiftyone_dataset.to_fiftyone`."""
        from patchsearch.exports.fiftyone_dataset import to_fiftyone

        return to_fiftyone(self.to_items(label=label), name=name)

    def _repr_html_(self) -> str:
        return hit_pictures.html_of_result(self)


class IngestOutcome(enum.Enum):
    """What became of a photo."""

    STORED = "stored"
    """Stored durably."""
    UNCHANGED = "unchanged"
    """The same content, uri, metadata and selector were stored already."""
    FAILED = "failed"
    """Not stored."""


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What became of one photo.

    `position` counts the photos handed in, from 0; results come as photos finish. `error` is
    set exactly when `outcome` is FAILED.
    """

    image_id: str
    outcome: IngestOutcome
    patches: int
    position: int
    error: PatchsearchError | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredImage:
    """What is stored of an image, without its patches.

    `digest` is SHA-256 of its content; `selection` names the selector and the saliency model that
    chose its patches, such as `hierarchical-filtered/simplenet-mini`.
    """

    image_id: str
    uri: str
    width: int
    height: int
    metadata: Mapping[str, Any]
    digest: bytes
    patch_count: int
    update_time: datetime.datetime
    selection: str = ""


@dataclass(frozen=True, slots=True)
class StoredPatch:
    """One stored patch. `selection_score` is thesis eq. 3.2; 0 where unscored."""

    box: Box
    level: int
    selection_score: float


@dataclass(frozen=True, slots=True, eq=False)
class ImageDetail:
    """An image with its patches, ordered by box.

    `vectors` is (len(patches), dim) float32 in the order of `patches`, and `fingerprint` their
    encoder's; None and "" unless asked for.
    """

    image: StoredImage
    patches: tuple[StoredPatch, ...]
    vectors: NDArray[np.float32] | None
    fingerprint: str
