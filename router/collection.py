"""What the router learns at start about the collection it serves."""

from __future__ import annotations

from dataclasses import dataclass

from patchsearch.errors import FailedPrecondition, Unavailable


@dataclass(frozen=True, slots=True)
class Collection:
    """The encoder of a collection, as GetEncoder told it."""

    encoder: str
    """Its name, for messages."""
    fingerprint: str
    dim: int
    max_batch: int
    """Most texts or crops in one call to the encoder."""
    max_text_tokens: int
    selector: str
    """Default patch selector."""
    saliency: str

    def check_fingerprint(self, fingerprint: str, what: str) -> None:
        """Raises FailedPrecondition ENCODER_MISMATCH when `what` was made by another encoder."""
        if fingerprint == self.fingerprint:
            return
        made_by = f"encoder {fingerprint}" if fingerprint else "an encoder that it does not name"
        raise FailedPrecondition(
            "ENCODER_MISMATCH",
            f"{what} was made by {made_by}; this collection holds vectors of "
            f"{self.encoder} ({self.fingerprint}): embed with that one",
            metadata={"fingerprint": fingerprint, "expected": self.fingerprint},
        )


class CollectionDoor:
    """Holds the collection once the router knows it; closed before. Thread-safe."""

    def __init__(self) -> None:
        self._collection: Collection | None = None

    def open(self, collection: Collection) -> None:
        """From now on calls are served."""
        self._collection = collection

    def enter(self) -> Collection:
        """The collection; raises Unavailable NOT_READY before `open`."""
        collection = self._collection
        if collection is None:
            raise Unavailable(
                "NOT_READY", "the router has not reached its encoder and shards yet; try again"
            )
        return collection
