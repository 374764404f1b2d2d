"""The process that decodes images, one at a time: `python -m encoder_service.decoder_worker`.

It is started by `encoder_service.decoder_process` with one end of a socket as a file descriptor,
and ends when the other end is closed. A request is a `REQUEST`; the encoded bytes lie in a memory
file, which comes with the first request and is used until another one comes. The pixels are written
over them, and a `REPLY` says how many.
"""

from __future__ import annotations

import importlib
import mmap
import os
import resource
import signal
import socket
import struct
import sys
import warnings
from contextlib import suppress

import numpy as np

from encoder_service.picture import Flaw, FlawedPicture, read_picture
from encoder_service.pixels import RgbImage

REQUEST = struct.Struct("<QQd")
"""Bytes of the image, most pixels, seconds of processor time for that many."""

REPLY = struct.Struct("<BIIH")
"""0 or a Flaw, width, height, bytes of the text that follows."""

READY = b"R"
"""Sent once, when requests are taken."""

LEAST_CPU_S = 1.0
"""What the smallest image gets."""

_MOST_DETAIL = 400


def main() -> None:
    """Serves the socket until its other end is closed."""
    fd, memory_bytes = int(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # elsewhere address space cannot be limited
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    # Whoever sends a damaged image must not write the server's log.
    warnings.simplefilter("ignore")
    for plugin in ("JpegImagePlugin", "PngImagePlugin", "WebPImagePlugin"):
        importlib.import_module(f"PIL.{plugin}")
    # A server that stops, before it has read all that was sent to it, resets the connection.
    with socket.socket(fileno=fd) as requests, suppress(ConnectionError):
        requests.sendall(READY)
        _serve(requests)


def _serve(requests: socket.socket) -> None:
    memory = mmap.mmap(-1, 1)
    while True:
        header, fds, _, _ = socket.recv_fds(requests, REQUEST.size, 1)
        if len(header) < REQUEST.size:
            return
        for fd in fds:
            memory = mmap.mmap(fd, 0)
            os.close(fd)
        size, max_pixels, cpu_s = REQUEST.unpack(header)
        reply = _decoded(memory, size, max_pixels, cpu_s)
        requests.sendall(reply)


def _decoded(memory: mmap.mmap, size: int, max_pixels: int, cpu_s: float) -> bytes:
    width = height = 0
    least_s = min(LEAST_CPU_S, cpu_s)

    def limit_time(seconds: float) -> None:
        # SIGPROF ends the process: nothing in a decoder can catch it, or has to be asked.
        signal.setitimer(signal.ITIMER_PROF, seconds)

    def opened(pixels: int) -> None:
        limit_time(max(least_s, cpu_s * pixels / max_pixels))

    def room(rows: int, columns: int) -> RgbImage:
        nonlocal width, height
        width, height = columns, rows
        return pixels_in(memory, columns, rows)

    try:
        limit_time(least_s)
        read_picture(memory[:size], max_pixels, room, opened)
    except FlawedPicture as flawed:
        detail = flawed.detail.encode("utf-8", "replace")[:_MOST_DETAIL]
        return REPLY.pack(flawed.flaw, 0, 0, len(detail)) + detail
    except MemoryError:  # for the copy of the encoded bytes
        return REPLY.pack(Flaw.OUT_OF_MEMORY, 0, 0, 0)
    finally:
        limit_time(0)
    return REPLY.pack(0, width, height, 0)


def pixels_in(memory: mmap.mmap, width: int, height: int) -> RgbImage:
    """The pixels at the start of the memory, (height, width, 3) uint8, writable, not copied."""
    count = width * height * 3
    return np.frombuffer(memory, dtype=np.uint8, count=count).reshape(height, width, 3)


if __name__ == "__main__":
    main()
