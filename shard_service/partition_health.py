"""What is wrong with a partition, and what it is doing: for `describe`, logs and refusals."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from patchsearch.errors import DataLoss, Unavailable
from service_runtime.logs import logger
from shard_service.integrity.prepared_store import StoreCondition
from shard_service.maintenance.scrubbing import Damage, damaged_image
from shard_service.store.patch_store import PatchStore


class PartitionHealth:
    """The damaged images of a partition, the calls under way, and whether it can still be searched.

    Thread-safe.
    """

    def __init__(self, name: str, damages: Iterable[Damage]) -> None:
        self._log = logger("partition").bind(partition=name)
        self._lock = threading.Lock()
        self._damages = {damage.image_id: damage for damage in damages}
        self._calls: dict[object, str] = {}
        self._failure = ""
        self._noted = set(self._damages)

    @property
    def damaged_images(self) -> int:
        """How many images are damaged or lost, and not written again yet."""
        return len(self._damages)

    def damaged_keys(self) -> set[bytes]:
        """The ids of those images, as UTF-8."""
        if not self._damages:
            return set()
        with self._lock:
            return {image_id.encode("utf-8", "replace") for image_id in self._damages}

    @property
    def failed(self) -> bool:
        """Whether what is in memory is not what is stored."""
        return bool(self._failure)

    def note(self, damages: Iterable[Damage]) -> None:
        """Adds damaged images to those that are known."""
        found = {damage.image_id: damage for damage in damages}
        with self._lock:
            self._damages.update(found)
            self._noted.update(found)

    def note_loss(self, loss: DataLoss) -> None:
        """Adds the image whose record turned out to be damaged."""
        if loss.metadata.get("image_id"):
            self.note([damaged_image(loss)])

    def take_noted(self) -> set[bytes]:
        """The ids, as UTF-8, of images noted as damaged since this was asked last."""
        if not self._noted:
            return set()
        with self._lock:
            noted, self._noted = self._noted, set()
        return {image_id.encode("utf-8", "replace") for image_id in noted}

    def check_images(self, image_ids: Iterable[str]) -> None:
        """Raises DataLoss STORE_CORRUPT when one of them is known to be damaged or lost."""
        if not self._damages:
            return
        for image_id in image_ids:
            damage = self._damages.get(image_id)
            if damage is not None:
                raise DataLoss(
                    "STORE_CORRUPT",
                    f"image {image_id!r}: {damage.detail}",
                    metadata={"image_id": image_id},
                )

    def mended(self, keys: Iterable[bytes]) -> None:
        """Takes out images that were written or deleted."""
        if self._damages:
            with self._lock:
                for key in keys:
                    self._damages.pop(key.decode("utf-8", "replace"), None)

    def fail(self, error: Exception) -> None:
        """Notes that a durable write could not be made searchable: searches and writes would be
        wrong from now on."""
        self._failure = (
            f"a write is stored but could not be made searchable ({type(error).__name__}: "
            f"{error}); restart the shard, which reads everything from the store again"
        )
        self._log.error("the partition stops searching", error=self._failure, exc_info=error)

    def check(self) -> None:
        """Raises Unavailable STORE_FAILED after `fail`."""
        if self._failure:
            raise Unavailable("STORE_FAILED", self._failure)

    @contextmanager
    def told(self, what: str) -> Iterator[Callable[[str], None]]:
        """Lets a call say what it is doing; `activities` tell that until the call ends."""
        call = object()

        def tell(activity: str) -> None:
            with self._lock:
                self._calls[call] = activity

        tell(what)
        try:
            yield tell
        finally:
            with self._lock:
                del self._calls[call]

    def activities(self, building: str, build_failure: BaseException | None) -> list[str]:
        """What is going on and what is wrong, in words."""
        with self._lock:
            told = [*([building] if building else []), *self._calls.values()]
        if build_failure is not None:
            told.append(f"building failed and is tried again: {build_failure}")
        if self._damages:
            told.append(f"{len(self._damages)} damaged images are not searched: ingest them again")
        if self._failure:
            told.append(self._failure)
        return told


def lost_images(condition: StoreCondition, store: PatchStore) -> list[Damage]:
    """The images that a replaced store had and that were neither written nor deleted since.

    Logs what was wrong with a store that was replaced just now.
    """
    report = condition.report
    if report is None:
        return []
    if condition.replaced is not None:
        logger("partition").error(
            "store is damaged; it was replaced by what is whole of it",
            partition=store.identity.partition_id,
            faults=list(condition.faults[:5]),
            lost_images=len(report.lost_ids),
            unknown_records=report.unknown_records,
            kept_as=str(condition.replaced),
        )
    detail = "lost with a damaged page of the store; ingest it again"
    known = store.have_records(report.lost_ids)
    return [
        Damage("lmdb", key.decode("utf-8", "replace"), detail)
        for key, has_record in zip(report.lost_ids, known, strict=True)
        if not has_record
    ]
