"""Reads and digests photos in threads, a bounded number ahead of the sender."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from ingest.sources import PhotoSource
from patchsearch.errors import PatchsearchError
from patchsearch.photos import Photo, PreparedPhoto, prepare


def read_ahead(
    sources: Iterable[PhotoSource], *, readers: int = 2, ahead: int = 8
) -> Generator[PreparedPhoto | Photo, None, None]:
    """Photos in the order of `sources`, at most `ahead` of them read and waiting.

    A photo that cannot be read comes unread: whoever sends it meets, and tells, the same error.
    `sources` is advanced in the caller's thread.
    """
    with ThreadPoolExecutor(readers, thread_name_prefix="photo-reader") as pool:
        waiting: deque[Future[PreparedPhoto | Photo]] = deque()
        try:
            for source in sources:
                waiting.append(pool.submit(_read, source))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _read(source: PhotoSource) -> PreparedPhoto | Photo:
    photo = source.photo()
    try:
        return prepare(photo)
    except PatchsearchError:
        return photo
