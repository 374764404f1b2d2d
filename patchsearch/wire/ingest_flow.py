"""Decides what an ingest sends next and what the answers mean; does no input or output itself.

A photo is first announced by its digest alone: what is stored already is answered UNCHANGED and its
pixels never travel. Where the server keeps asking for content (a fresh collection), content is sent
at once, until a photo turns out to be stored again.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from dataclasses import dataclass

from patchsearch.errors import (
    DeadlineExceeded,
    InternalError,
    InvalidArgument,
    PatchsearchError,
    Unavailable,
)
from patchsearch.photos import PhotoLike, PreparedPhoto, as_photo, name_of, prepare
from patchsearch.results import IngestOutcome, IngestResult
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.wire.requests import ingest_request
from patchsearch.wire.results import ingest_result

MAX_IN_FLIGHT = 16
"""Photos sent and not answered yet, at most."""
MAX_IN_FLIGHT_BYTES = 256 * 1024 * 1024
"""Encoded bytes of those photos; one photo is always let through."""

# So many photos in a row had to be sent in full before the announcements are left out.
_ANNOUNCEMENTS_IN_VAIN = 8
# Room for id, uri, metadata and framing beside the content of one message.
_MESSAGE_RESERVE = 256 * 1024
_RECONNECT_DELAYS_S = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
_CONNECT_DELAYS_S = (0.2, 0.5)


class Step(enum.Enum):
    """What to do next on a stream."""

    TAKE = enum.auto()
    """Take a photo and begin it; hand out the results that are there."""
    WAIT = enum.auto()
    """Wait for a result."""
    CLOSE = enum.auto()
    """Nothing is under way: hand out the results that are there and close the stream."""


@dataclass(frozen=True, slots=True)
class TakenPhoto:
    """A photo that was read and awaits its turn."""

    photo: PreparedPhoto
    position: int


@dataclass(frozen=True, slots=True)
class _Sent:
    photo: PreparedPhoto
    position: int
    with_content: bool


class IngestFlow:
    """The state of one ingest over one or more streams. Not thread-safe: callers take turns.

    Messages must be sent in the order in which these methods give them out, because answers name
    their number.
    """

    def __init__(
        self,
        *,
        selector: str,
        max_message_bytes: int,
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._selector = selector
        self._clock = clock
        self._taking_s = timeout_s / 2
        self._closes_at = 0.0
        self._max_content = max_message_bytes - _MESSAGE_RESERVE
        self._sent: dict[int, _Sent] = {}
        self._next_index = 0
        self._next_position = 0
        self._bytes = 0
        self._in_vain = 0
        self._breaks = 0
        self._answers = 0
        self._answers_before_stream = 0

    @property
    def in_flight(self) -> int:
        """Photos sent and not answered yet."""
        return len(self._sent)

    def step(self, more_photos: bool) -> Step:
        """What to do next.

        A stream takes photos for half of its time: what it was given last has the other half.
        """
        has_room = not self._sent or (
            len(self._sent) < MAX_IN_FLIGHT and self._bytes < MAX_IN_FLIGHT_BYTES
        )
        if more_photos and has_room and self._clock() < self._closes_at:
            return Step.TAKE
        return Step.WAIT if self._sent else Step.CLOSE

    def take(self, value: PhotoLike) -> TakenPhoto | IngestResult:
        """Reads a photo; gives its result at once when it cannot be read.

        Blocks on the disk unless the photo is prepared, and may run beside the other methods.
        Raises TypeError for what is no photo.
        """
        photo = as_photo(value)
        position = self._next_position
        self._next_position += 1
        try:
            return TakenPhoto(self._checked(prepare(photo)), position)
        except PatchsearchError as error:
            return IngestResult(name_of(photo), IngestOutcome.FAILED, 0, position, error)

    def begin(self, taken: TakenPhoto) -> pb.IngestImagesRequest | IngestResult:
        """The message to send for a photo, or its result when it cannot be put in a message."""
        with_content = self._in_vain >= _ANNOUNCEMENTS_IN_VAIN
        try:
            message = self._send(_Sent(taken.photo, taken.position, with_content))
        except PatchsearchError as error:
            return IngestResult(
                name_of(taken.photo), IngestOutcome.FAILED, 0, taken.position, error
            )
        self._bytes += len(taken.photo.content)
        return message

    def answer(self, response: pb.IngestImagesResponse) -> pb.IngestImagesRequest | IngestResult:
        """Takes one answer in and gives the message that it asks for, or the photo's result."""
        sent = self._sent.pop(response.index, None)
        if sent is None:
            raise InternalError(
                "ANSWER_UNEXPECTED", f"the server answered request {response.index}, never sent"
            )
        self._answers += 1
        self._breaks = 0
        if response.outcome == pb.INGEST_OUTCOME_CONTENT_NEEDED and not sent.with_content:
            self._in_vain += 1
            return self._send(_Sent(sent.photo, sent.position, with_content=True))
        if response.outcome == pb.INGEST_OUTCOME_UNCHANGED:
            self._in_vain = 0
        self._bytes -= len(sent.photo.content)
        return ingest_result(response, sent.position)

    def restart(self) -> list[pb.IngestImagesRequest]:
        """Begins a new stream: the messages of the photos that the last one left unanswered."""
        unanswered = sorted(self._sent.values(), key=lambda sent: sent.position)
        self._sent = {}
        self._next_index = 0
        self._answers_before_stream = self._answers
        self._closes_at = self._clock() + self._taking_s
        return [self._send(sent) for sent in unanswered]

    def broken(self, error: PatchsearchError) -> float:
        """Seconds to wait before the next stream after one failed; raises what waiting cannot mend.

        A server that went away is waited for some 15 s as long as nothing is answered, an address
        at which nobody ever answered less than 1 s. A stream whose time ran out is simply followed
        by the next, unless it brought no answer to anything at all.
        """
        if isinstance(error, DeadlineExceeded):
            if self._sent and self._answers == self._answers_before_stream:
                raise error
            return 0.0
        if not isinstance(error, Unavailable):
            raise error
        delays = _RECONNECT_DELAYS_S if self._answers else _CONNECT_DELAYS_S
        if self._breaks >= len(delays):
            raise error
        self._breaks += 1
        return delays[self._breaks - 1]

    def ended(self) -> Unavailable:
        """The error of a stream that the server ended although photos are unanswered."""
        return Unavailable(
            "STREAM_ENDED",
            f"the server ended the stream with {self.in_flight} photos unanswered; "
            "ingest again, what is stored is skipped",
        )

    def _checked(self, photo: PreparedPhoto) -> PreparedPhoto:
        size = len(photo.content)
        if not size:
            raise InvalidArgument("IMAGE_UNDECODABLE", "file is empty; leave it out")
        if size > self._max_content:
            raise InvalidArgument(
                "IMAGE_TOO_LARGE",
                f"file is {size} bytes; one message holds at most {self._max_content}; "
                "compress it or raise max_message_mb on both sides",
            )
        return photo

    def _send(self, sent: _Sent) -> pb.IngestImagesRequest:
        message = ingest_request(
            sent.photo, selector=self._selector, with_content=sent.with_content
        )
        self._sent[self._next_index] = sent
        self._next_index += 1
        return message
