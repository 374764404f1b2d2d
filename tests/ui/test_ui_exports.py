"""Exports that take long: their progress, their end, their file."""

from __future__ import annotations

import io
import os
import re
import resource
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from patchsearch.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from patchsearch.exports.formats import ExportFormat, ExportRequest
from patchsearch.exports.items import SetItem
from patchsearch.exports.streams import Target
from patchsearch.geometry import Box
from tests.ui.conftest import RunningPage, serving_page
from tests.ui.test_ui_search import ERROR
from tests.ui.test_ui_sets import judged_set
from ui.export_runs import ExportRun, ExportRuns, pieces

Eventually = Callable[[Callable[[], bool]], None]
ASKED = ExportRequest([SetItem("a", "a", 9, 9, Box(n, 0, 1, 1), None) for n in range(4)], "s")


class Gate:
    """A format that writes a byte an item, the second one and all further ones once it is open."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.error: Exception | None = None

    def format(self) -> ExportFormat:
        return ExportFormat("gated", "Gated", ".txt", "text/plain", self.write)

    def write(self, request: ExportRequest, target: Target) -> list[str]:
        assert not isinstance(target, str | os.PathLike) and request.on_progress is not None
        for number in range(1, len(request.items) + 1):
            target.write(b"x")
            request.on_progress(number, len(request.items))
            self.open.wait(10)
            if self.error is not None:
                raise self.error
        return ["one warning"]


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def runs(gate: Gate) -> Iterator[ExportRuns]:
    runs = ExportRuns()
    yield runs
    gate.open.set()
    runs.close()


def ended(run: ExportRun) -> Callable[[], bool]:
    return lambda: not run.is_running


def test_a_run_tells_how_far_it_is_and_keeps_its_file(
    runs: ExportRuns, gate: Gate, eventually: Eventually
) -> None:
    run = runs.start(1, gate.format(), ASKED)
    eventually(lambda: run.done == 1)
    assert run.total == 4 and run.is_running and not run.is_finished
    with pytest.raises(FailedPrecondition, match="no file"):
        runs.open(run.id)
    gate.open.set()
    eventually(lambda: run.is_finished)
    assert (run.done, run.size, run.warnings, run.error) == (4, 4, ["one warning"], None)
    with runs.open(run.id) as one, runs.open(run.id) as other:
        assert b"".join(pieces(one, run.size)) == b"".join(pieces(other, run.size)) == b"xxxx"
    assert runs.of_set(1) == [run] and runs.of_set(2) == []


def test_a_cancelled_run_ends_and_keeps_nothing(
    runs: ExportRuns, gate: Gate, eventually: Eventually
) -> None:
    run = runs.start(1, gate.format(), ASKED)
    runs.cancel(run.id)
    gate.open.set()
    eventually(ended(run))
    assert run.done < 4 and not run.is_finished and run.error is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InvalidArgument("LABEL_EMPTY", "no label"), "LABEL_EMPTY"),
        (OSError(28, "No space left on device"), "FILE_UNWRITABLE"),
        (ZeroDivisionError("defect"), "EXPORT_FAILED"),
    ],
)
def test_what_ends_a_run_is_told(
    runs: ExportRuns, gate: Gate, eventually: Eventually, error: Exception, reason: str
) -> None:
    gate.error = error
    gate.open.set()
    run = runs.start(1, gate.format(), ASKED)
    eventually(ended(run))
    assert run.error is not None and run.error.reason == reason and not run.is_finished


def test_a_run_that_has_no_place_for_its_file_ends(
    runs: ExportRuns, gate: Gate, eventually: Eventually
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        run = runs.start(1, gate.format(), ASKED)
        eventually(ended(run))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert run.error is not None and run.error.reason == "FILE_UNWRITABLE"


def test_two_run_at_once_and_six_are_kept(
    runs: ExportRuns, gate: Gate, eventually: Eventually
) -> None:
    first, second = (runs.start(1, gate.format(), ASKED) for _ in range(2))
    with pytest.raises(ResourceExhausted, match="cancel it"):
        runs.start(1, gate.format(), ASKED)
    gate.open.set()
    eventually(lambda: first.is_finished and second.is_finished)
    for _ in range(6):
        later = runs.start(1, gate.format(), ASKED)
        eventually(ended(later))
    assert len(runs.of_set(1)) == 7 and first.file is None
    with pytest.raises(NotFound, match="last 6"):
        runs.get(first.id)


def test_crops_are_written_with_progress(page: RunningPage, eventually: Eventually) -> None:
    judged_set(page, "bus", slice(0, 3), slice(3, 5))
    form = {"set": "1", "format": "crops", "verdicts": ["yes", "no"], "label": "city <bus>"}
    started = page.post("/exports", form)  # type: ignore[arg-type]
    assert re.fullmatch("/exports/[0-9]+", started.url.path), started.text
    eventually(lambda: "hx-trigger" not in page.get(started.url.path).text)
    text = page.get(started.url.path).text
    assert "<b>5</b> of 5 patches" in text and "Finished" in text and "Left out" not in text
    for _ in range(2):
        answer = page.get(f"{started.url.path}/file")
        assert answer.headers["content-disposition"].startswith(
            'attachment; filename="bus-crops.zip"'
        )
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.testzip() is None
            assert len([name for name in archive.namelist() if name.endswith(".png")]) == 5
            assert b"city <bus>" in archive.read("items.csv")
    assert f'<a href="{started.url.path}">Crops (zip)</a>: finished' in page.get("/sets/1").text


def test_photos_that_cannot_be_read_are_told(
    router_address: str, filled: Path, tmp_path: Path, eventually: Eventually
) -> None:
    (tmp_path / "empty").mkdir()
    with serving_page(router_address, tmp_path / "empty", tmp_path / "desk") as page:
        judged_set(page, "bus", slice(0, 2), slice(0, 0))
        started = page.post("/exports", {"set": "1", "format": "crops"})
        eventually(lambda: "hx-trigger" not in page.get(started.url.path).text)
        text = page.get(started.url.path).text
        assert "Left out <small>2</small>" in text and "not below a folder of --photos" in text


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({"set": "1", "format": "crops", "verdicts": "skip"}, "SET_EMPTY"),
        ({"set": "9", "format": "crops"}, "SET_NOT_FOUND"),
        ({"set": "x", "format": "crops"}, "NUMBER_INVALID"),
        ({"set": "1", "format": "none"}, "EXPORT_FORMAT_UNKNOWN"),
        ({"cancel": "99"}, "EXPORT_NOT_FOUND"),
    ],
)
def test_bad_requests_say_why(page: RunningPage, form: dict[str, str], reason: str) -> None:
    judged_set(page, "bus", slice(0, 1), slice(0, 0))
    assert ERROR.findall(page.post("/exports", form).text) == [reason]
    assert ERROR.findall(page.get("/exports/99/file").text) == ["EXPORT_NOT_FOUND"]
