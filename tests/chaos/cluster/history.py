"""What callers asked of the cluster and what it answered: the ledger that the end is judged by."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from patchsearch.errors import PatchsearchError
from patchsearch.geometry import Box
from tests.contract.doors import Patches
from tests.contract.fake_encoder import vector_of
from tests.contract.oracle import StoredPhoto

PATCHES = 3


@dataclass(frozen=True)
class Write:
    """One write of one image: the seed says what is in it, None deletes it."""

    image_id: str
    seed: int | None
    router: int


@dataclass
class _Image:
    acknowledged: Write | None = None
    since: list[Write] = field(default_factory=list)
    """Unacknowledged since then: each may have happened or not."""
    overtaken: list[Write] = field(default_factory=list)
    """Unacknowledged before then."""
    ever: set[int] = field(default_factory=set)


class History:
    """Thread-safe. Every image has one writer, so its writes follow one another."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("a", buffering=1, encoding="utf-8")
        self._lock = threading.Lock()
        self._images: dict[str, _Image] = {}
        self.acknowledged = 0
        self.refused: dict[str, int] = {}
        self.shards_said: dict[str, int] = {}
        """Refused writes by what shards said of them; a write counts with each reason."""

    def intend(self, write: Write) -> None:
        with self._lock:
            image = self._images.setdefault(write.image_id, _Image())
            image.since.append(write)
            if write.seed is not None:
                image.ever.add(write.seed)
            self._note("intent", write, "")

    def acknowledge(self, write: Write) -> None:
        with self._lock:
            image = self._images[write.image_id]
            image.overtaken += [one for one in image.since if one != write]
            image.since = []
            image.acknowledged = write
            self.acknowledged += 1
            self._note("acknowledged", write, "")

    def refuse(self, write: Write, error: PatchsearchError) -> None:
        """It failed; it may have happened nevertheless."""
        reason = error.reason
        with self._lock:
            self.refused[reason] = self.refused.get(reason, 0) + 1
            for said in filter(None, error.metadata.get("reasons", reason).split(",")):
                self.shards_said[said] = self.shards_said.get(said, 0) + 1
            self._note("refused", write, reason)

    def image_ids(self) -> list[str]:
        with self._lock:
            return sorted(self._images)

    def possible_seeds(self, image_id: str) -> set[int | None]:
        """What may be stored in the end; None: nothing."""
        with self._lock:
            image = self._images[image_id]
            last = None if image.acknowledged is None else image.acknowledged.seed
            return {last, *(write.seed for write in image.since)}

    def overtaken_seeds(self, image_id: str) -> set[int | None]:
        """Of refused writes that an acknowledged one came after."""
        with self._lock:
            return {write.seed for write in self._images[image_id].overtaken}

    def ever_written(self, image_id: str) -> set[int]:
        """The seeds of every photo that anyone tried to write under this id."""
        with self._lock:
            image = self._images.get(image_id)
            return set() if image is None else set(image.ever)

    def close(self) -> None:
        self._file.close()

    def _note(self, kind: str, write: Write, reason: str) -> None:
        line = {"kind": kind, "id": write.image_id, "seed": write.seed, "router": write.router}
        self._file.write(json.dumps({**line, **({"reason": reason} if reason else {})}) + "\n")


def patches_of(seed: int) -> Patches:
    """The patches of the photo with this seed: boxes that do not overlap."""
    return [(Box(100 * i, 50, 80, 80), seed * PATCHES + i) for i in range(PATCHES)]


def photo_of(image_id: str, seed: int) -> StoredPhoto:
    """The same for the oracle."""
    patches = patches_of(seed)
    vectors = np.stack([vector_of(one) for _, one in patches])
    return StoredPhoto(image_id, tuple(box for box, _ in patches), vectors)
