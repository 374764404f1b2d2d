"""Arrays are read by many threads at once, whatever Python does in between."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shard_service.array_files import load_array, map_array


@pytest.fixture
def collecting() -> Iterator[None]:
    """The collector runs all the time, and lets other threads run within it."""

    def callback(phase: str, info: dict[str, Any]) -> None:
        time.sleep(0)

    before = gc.get_threshold()
    gc.callbacks.append(callback)
    gc.set_threshold(30, 1000, 1000)
    yield
    gc.set_threshold(*before)
    gc.callbacks.remove(callback)


@pytest.mark.parametrize("read", [map_array, load_array])
def test_threads_do_not_spoil_each_others_headers(
    tmp_path: Path, collecting: None, read: Any
) -> None:
    # A header that takes long to parse.
    np.save(tmp_path / "a.npy", np.zeros(3, [(f"field{n}", np.int32) for n in range(400)]))

    def work(_: int) -> None:
        for _ in range(20):
            assert read(tmp_path / "a.npy").shape == (3,)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))


def test_a_mapped_array_cannot_be_written(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(5))
    mapped = map_array(tmp_path / "a.npy")
    assert type(mapped) is np.ndarray and not mapped.flags.writeable
    assert load_array(tmp_path / "a.npy").flags.writeable


@pytest.mark.parametrize("read", [map_array, load_array])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"no array", b"\x80\x04N."])
def test_what_is_no_array_is_refused(tmp_path: Path, content: bytes, read: Any) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises((OSError, ValueError)):
        read(tmp_path / "a.npy")
    with pytest.raises(OSError):
        read(tmp_path / "missing.npy")
