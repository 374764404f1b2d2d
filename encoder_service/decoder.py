"""What callers send is decoded here, in processes that it may do no harm to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from encoder_service.decoder_process import DecoderDied, DecoderLimits, DecoderProcess
from encoder_service.decoding import ImageLimits, Subject, refusal
from encoder_service.picture import Flaw, FlawedPicture
from encoder_service.pixels import RgbImage
from patchsearch.errors import Unavailable
from service_runtime.logs import logger


class ImageDecoder(Protocol):
    """Decodes what callers send."""

    def decode(self, data: bytes, subject: Subject, limits: ImageLimits) -> RgbImage:
        """As `encoder_service.decoding.decode` does. Thread-safe."""
        ...


class Decoder:
    """A pool of decoding processes. Thread-safe.

    A process is started when none is free, up to `processes`; one that an image killed, hung, or
    filled is replaced. Gives the same pixels as `decoding.decode`.
    """

    def __init__(self, processes: int, limits: DecoderLimits) -> None:
        self._limits = limits
        self._slots = threading.BoundedSemaphore(processes)
        self._lock = threading.Lock()
        self._idle: list[DecoderProcess] = []
        self._closed = False

    def start(self) -> None:
        """Begins to start a first process and returns at once; without it the first call does."""
        self._put(DecoderProcess(self._limits))

    def close(self) -> None:
        """Ends the processes, also those at work: their calls fail. Again is not an error."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for process in idle:
            process.close()

    def decode(self, data: bytes, subject: Subject, limits: ImageLimits) -> RgbImage:
        """The pixels of an image, as `decoding.decode` gives them, in shared memory of their own.

        Waits for a process. Raises `InvalidArgument` (CROP_UNDECODABLE or IMAGE_UNDECODABLE;
        IMAGE_TOO_LARGE also for an image that takes too much time or memory), and `Unavailable`
        (DECODER_UNAVAILABLE) when no process can be started, NOT_READY when closed.
        """
        try:
            return self._decode(data, limits.max_pixels)
        except FlawedPicture as flawed:
            raise refusal(subject, flawed.flaw, flawed.detail) from flawed

    def _decode(self, data: bytes, max_pixels: int) -> RgbImage:
        try:
            return self._attempt(data, max_pixels, fresh=False)
        except DecoderDied as died:
            logger("decoder").warning("decoder died", why=str(died), bytes=len(data))
        except _OldProcessFull:
            pass
        # Once more, alone with a new process, before the image gets the blame.
        try:
            return self._attempt(data, max_pixels, fresh=True)
        except DecoderDied as died:
            raise FlawedPicture(Flaw.UNDECODABLE, str(died)) from died

    def _attempt(self, data: bytes, max_pixels: int, *, fresh: bool) -> RgbImage:
        with self._process(fresh=fresh) as process:
            had_served = process.decoded > 0
            try:
                return process.decode(data, max_pixels)
            except FlawedPicture as flawed:
                if flawed.flaw is Flaw.OUT_OF_MEMORY:
                    process.close()
                    if had_served:
                        raise _OldProcessFull from flawed
                raise

    @contextmanager
    def _process(self, *, fresh: bool) -> Iterator[DecoderProcess]:
        with self._slots:
            process = DecoderProcess(self._limits) if fresh else self._take()
            try:
                yield process
            finally:
                self._put(process)

    def _take(self) -> DecoderProcess:
        with self._lock:
            if self._closed:
                raise Unavailable("NOT_READY", "the encoder is stopping; try another one, or later")
            # The one used last: its memory is warm, and the others can be swapped out.
            process = self._idle.pop() if self._idle else None
        return DecoderProcess(self._limits) if process is None else process

    def _put(self, process: DecoderProcess) -> None:
        if process.ended:
            process.close()
            return
        with self._lock:
            if not self._closed:
                self._idle.append(process)
                return
        process.close()


class _OldProcessFull(Exception):
    """A process that had served before has no memory left: perhaps not this image's doing."""
