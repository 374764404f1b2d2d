"""The named places in the life of a partition at which a writer can be made to kill itself.

The production code announces them with `sys.audit(EVENT, point, place)`, which costs next to
nothing while nobody listens.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.chaos.partition.store_states import bring_back_first_format, spoil_older_meta_page

EVENT = "patchsearch.shard"

POINTS: Mapping[str, int] = {
    "before-commit": 60,
    "after-commit": 60,
    "after-publish": 60,
    "before-rename": 4,
    "after-rename": 4,
    "before-swap": 3,
    "after-swap": 3,
    "mid-compaction": 2,
    "mid-snapshot": 2,
    "before-store-exchange": 1,
    "mid-store-exchange": 1,
    "before-migration-commit": 1,
}
"""Each point, and at the latest which time it is reached the writer dies."""

PREPARED: Mapping[str, Callable[[Path], None]] = {
    "before-store-exchange": spoil_older_meta_page,
    "mid-store-exchange": spoil_older_meta_page,
    "before-migration-commit": bring_back_first_format,
}
"""Points that a store reaches when it is opened, and how it must be for that."""


def listen(point: str, occurrence: int, on_first: Callable[[str], None]) -> None:
    """Kills this process when `point` is reached for the `occurrence`-th time.

    `on_first` hears of every point, known or not, when it is reached first. Cannot be undone.
    """
    times = itertools.count(1)
    heard: set[str] = set()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event != EVENT:
            return
        name = str(arguments[0])
        if name not in heard:
            heard.add(name)
            on_first(name)
        if name == point and next(times) == occurrence:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
