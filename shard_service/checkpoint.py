"""How whoever waits for a long call is asked, now and then, whether to go on."""

from __future__ import annotations

from collections.abc import Callable

Checkpoint = Callable[[], None]
"""Called often by what takes long, on any thread; raises to give up."""


def no_checkpoint() -> None:
    """For calls that nobody gives up."""
