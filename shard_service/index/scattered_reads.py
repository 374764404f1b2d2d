"""Reads many small pieces of a file at once, without mapping them.

Touching a mapped file makes the kernel map what lies around too, up to two megabytes, all of which
counts as this process's memory; and where memory is short, it waits for one page after the other.
Linux's asynchronous reads (io_submit(2)) take a list of pieces in one call: what the page cache
holds is copied, what it lacks is named, and can be asked for all together.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import sys
import threading
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST = 512
"""How many pieces one call may ask for."""

# Numbers of io_setup, io_destroy, io_getevents and io_submit.
_CALLS = {"x86_64": (206, 207, 208, 209), "aarch64": (0, 1, 4, 2)}
_IN_MEMORY_ONLY = 8
"""RWF_NOWAIT of preadv2(2)."""

# struct iocb and struct io_event of linux/aio_abi.h, on a machine that is little-endian.
_REQUEST = np.dtype(
    [
        ("number", "u8"),
        ("key", "u4"),
        ("flags", "u4"),
        ("operation", "u2"),
        ("priority", "i2"),
        ("file", "u4"),
        ("target", "u8"),
        ("bytes", "u8"),
        ("offset", "i8"),
        ("reserved", "u8"),
        ("more_flags", "u4"),
        ("event_file", "u4"),
    ]
)
_EVENT = np.dtype([("number", "u8"), ("request", "u8"), ("result", "i8"), ("second", "i8")])


def read_pieces(file: int, offsets: NDArray[np.int64], target: NDArray[np.uint8]) -> bool:
    """Reads `target[i]`, of (n, size) uint8, at `offsets[i]`, for at most LARGEST pieces.

    False, and `target` undefined, where kernel or file system do not do that: read in another way.
    Raises OSError when the file ends before a piece does, or cannot be read. Thread-safe.
    """
    try:
        if not hasattr(_threads, "reads"):
            _threads.reads = _ScatteredReads()
        _threads.reads.read(file, offsets, target)
    except _ReadsRefused:
        return False
    return True


class _ReadsRefused(Exception):
    """The kernel does not do such reads."""


class _ScatteredReads:
    """A context for asynchronous reads, of one thread; raises _ReadsRefused if there is none."""

    def __init__(self) -> None:
        calls = _CALLS.get(platform.machine())
        if sys.platform != "linux" or sys.byteorder != "little" or calls is None:
            raise _ReadsRefused(f"not made for {sys.platform} on {platform.machine()}")
        setup, destroy, events, submit = (ctypes.c_long(number) for number in calls)
        # What copies from memory is over sooner than other threads would give the interpreter's
        # lock back; what waits for a disk lets them run.
        releasing, holding = ctypes.CDLL(None).syscall, ctypes.PyDLL(None).syscall
        releasing.restype = holding.restype = ctypes.c_long
        context = ctypes.c_ulong(0)
        if releasing(setup, ctypes.c_long(LARGEST), ctypes.byref(context)) != 0:
            raise _ReadsRefused("the kernel gives no context for asynchronous reads")
        weakref.finalize(self, releasing, destroy, context)
        self._waiting, self._holding = releasing, holding
        self._submitting, self._collecting = (submit, context), (events, context)
        self._numbers = np.arange(LARGEST, dtype=np.uint64)
        self._requests = np.zeros(LARGEST, _REQUEST)
        self._requests["number"] = self._numbers
        # Where each of them lies, as the kernel wants them named.
        self._listed = self._requests.ctypes.data + _REQUEST.itemsize * self._numbers
        self._events = np.zeros(LARGEST, _EVENT)

    def read(self, file: int, offsets: NDArray[np.int64], target: NDArray[np.uint8]) -> None:
        """See `read_pieces`; raises _ReadsRefused where that is False."""
        count, size = len(offsets), target.shape[1]
        requests = self._requests[:count]
        requests["file"] = file
        requests["bytes"] = size
        requests["offset"] = offsets
        requests["target"] = target.ctypes.data + size * self._numbers[:count]
        requests["flags"] = _IN_MEMORY_ONLY
        events = self._ask(self._listed[:count], self._holding)
        if (events["result"] == size).all():
            return
        missing = self._missing(count, size)
        _ask_for_pages(file, offsets[missing], size)
        requests["flags"] = 0
        self._ask(self._listed[missing], self._waiting)
        if len(self._missing(len(missing), size)):
            raise OSError("the file ends before the rows in it do, or cannot be read")

    def _ask(self, listed: NDArray[np.uint64], call: Any) -> NDArray[np.void]:
        """Submits requests, which are done by then, and gives their events."""
        count = len(listed)
        taken = call(*self._submitting, ctypes.c_long(count), ctypes.c_void_p(listed.ctypes.data))
        if taken > 0:
            given = ctypes.c_long(taken)
            events = ctypes.c_void_p(self._events.ctypes.data)
            self._holding(*self._collecting, given, given, events, None)
        if taken != count:
            raise _ReadsRefused(f"the kernel took {taken} of {count} reads")
        return self._events[:count]

    def _missing(self, count: int, size: int) -> NDArray[np.int64]:
        """Which requests were not read, or not whole, of the last `count` that were submitted."""
        events = self._events[:count]
        return np.sort(events["number"][events["result"] != size]).astype(np.int64)


def _ask_for_pages(file: int, offsets: NDArray[np.int64], size: int) -> None:
    """Has the kernel begin to read all of the pieces, and waits for none."""
    page = mmap.PAGESIZE
    firsts = np.sort(offsets) // page
    lasts = (np.sort(offsets) + size - 1) // page
    # Runs of pages that touch, so that a page is asked for once.
    begins = np.flatnonzero(np.concatenate(([True], firsts[1:] > lasts[:-1] + 1)))
    ends = np.concatenate((begins[1:], [len(firsts)])) - 1
    for first, last in zip(firsts[begins].tolist(), lasts[ends].tolist(), strict=True):
        os.posix_fadvise(file, first * page, (last - first + 1) * page, os.POSIX_FADV_WILLNEED)


_threads = threading.local()
