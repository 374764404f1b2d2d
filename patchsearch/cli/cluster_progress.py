"""Events of an operation as bars and lines on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cluster.events import (
    ChangeFinished,
    ChangeStarted,
    Copied,
    Event,
    Halved,
    Passed,
    Published,
    Repaired,
    StepStarted,
    Tell,
    in_words,
)


@contextmanager
def telling(quiet: bool) -> Iterator[Tell]:
    """What an operation tells its events to: bars on a terminal, lines elsewhere; warnings alone
    where it is to be `quiet`."""
    console = Console(stderr=True, highlight=False)
    if quiet or not console.is_terminal:
        lines = _Lines(console, quiet)
        yield lines.tell
        return
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
    with bars:
        yield _Bars(bars).tell


class _Lines:
    """A line for each event, progress left out."""

    def __init__(self, console: Console, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet

    def tell(self, event: Event) -> None:
        if isinstance(event, Passed) or not self._quiet:
            line = in_words(event)
            if line:
                indent = "" if isinstance(event, ChangeStarted) else "  "
                self._console.print(indent + line, markup=False, soft_wrap=True)


class _Bars:
    """A bar over all changes, and one for what travels now."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._all: TaskID | None = None
        self._current: tuple[str, TaskID] | None = None

    def tell(self, event: Event) -> None:
        if isinstance(event, ChangeStarted):
            if self._all is None:
                self._all = self._bars.add_task("partitions", total=event.total)
        elif isinstance(event, ChangeFinished) and self._all is not None:
            self._end()
            self._bars.advance(self._all)
        elif isinstance(event, Copied):
            self._show(
                f"{event.partition_id} to {event.shard}", event.done_bytes, event.total_bytes
            )
        elif isinstance(event, Halved):
            self._show(
                f"{event.partition_id} on {event.shard}", event.moved_images, event.total_images
            )
        elif isinstance(event, StepStarted):
            self._show(f"{event.partition_id}: {event.step}", 0, 0)
        elif isinstance(event, Published | Passed | Repaired):
            self._bars.console.print(in_words(event), markup=False)

    def _show(self, what: str, done: int, total: int) -> None:
        if self._current is None or self._current[0] != what:
            self._end()
            self._current = what, self._bars.add_task(what, total=None)
        self._bars.update(self._current[1], completed=done, total=total or None)

    def _end(self) -> None:
        if self._current is not None:
            self._bars.remove_task(self._current[1])
            self._current = None
