"""What every store checks before it replaces a placement."""

from __future__ import annotations

from patchsearch.errors import FailedPrecondition
from placement.document import Placement, parse_placement, placement_document


def check_follows(placement: Placement, expected_epoch: int | None) -> None:
    """Raises FailedPrecondition PLACEMENT_INVALID for one that no store may take: malformed, or
    not newer than what it replaces."""
    parse_placement(placement_document(placement))
    if expected_epoch is not None and placement.epoch <= expected_epoch:
        raise FailedPrecondition(
            "PLACEMENT_INVALID",
            f"placement of epoch {placement.epoch} does not follow epoch {expected_epoch}; give it "
            "a higher one",
        )


def check_unchanged(where: str, there: Placement | None, expected_epoch: int | None) -> None:
    """Raises FailedPrecondition PLACEMENT_CHANGED unless what is there has the epoch expected."""
    found = None if there is None else there.epoch
    if found != expected_epoch:
        raise changed(where, found, expected_epoch)


def changed(where: str, found: int | None, expected_epoch: int | None) -> FailedPrecondition:
    """The error of a writer that was too late."""
    there = "there is none" if found is None else f"it has epoch {found}"
    wanted = "none" if expected_epoch is None else f"epoch {expected_epoch}"
    return FailedPrecondition(
        "PLACEMENT_CHANGED",
        f"the placement at {where} was to be {wanted}, and {there} now: somebody else changed it; "
        "look at it and run the command again",
        metadata={
            "found": "" if found is None else str(found),
            "expected": "" if expected_epoch is None else str(expected_epoch),
        },
    )
