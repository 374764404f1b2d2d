"""The encoder that does not answer, told as such."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from patchsearch.errors import Unavailable


@contextmanager
def naming_the_encoder() -> Iterator[None]:
    """For a call to the encoder: UNREACHABLE becomes Unavailable ENCODER_UNAVAILABLE.

    Whoever asked reached this router, and would take the error to be about its address.
    """
    try:
        yield
    except Unavailable as error:
        if error.reason != "UNREACHABLE":
            raise
        raise Unavailable(
            "ENCODER_UNAVAILABLE",
            "the encoder does not answer the router; try again when it is back",
        ) from error
