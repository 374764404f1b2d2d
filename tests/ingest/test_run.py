"""A run of ingest against a real server: counting, failing, resuming, stopping."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ingest import FailureLog, PhotoSource, Progress, find_photos, run_ingest
from ingest.progress import ProgressCounter
from patchsearch import Client, IngestOutcome, IngestResult
from patchsearch.errors import InvalidArgument
from patchsearch.serving import EmbeddedCluster


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with EmbeddedCluster(tmp_path_factory.mktemp("data"), encoder="mini") as cluster:
        with Client(cluster.address) as made:
            yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in range(6):
        pixels = rng.integers(0, 256, (90, 120, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    return tmp_path


def test_good_photos_are_stored_bad_ones_told_and_a_second_run_skips(
    client: Client, folder: Path
) -> None:
    told: list[tuple[PhotoSource, IngestResult]] = []
    states: list[Progress] = []
    summary = run_ingest(
        client,
        find_photos([folder]),
        total=8,
        on_result=lambda *result: told.append(result),
        on_progress=states.append,
    )
    assert (summary.progress.stored, summary.progress.failed) == (6, 2)
    assert not summary.is_complete and summary.stopped_by is None
    failures = {r.image_id: r.error.reason for _, r in told if r.error is not None}
    assert failures == {"bad.jpg": "IMAGE_UNDECODABLE", "gone.jpg": "FILE_UNREADABLE"}
    assert [state.done for state in states] == list(range(1, 9))
    again = run_ingest(client, find_photos([folder]))
    assert (again.progress.stored, again.progress.unchanged) == (0, 6)


def test_a_source_that_cannot_be_read_ends_the_run_with_its_error(
    client: Client, folder: Path
) -> None:
    places = [folder / "0.png", folder / "missing"]
    summary = run_ingest(client, find_photos(places))
    assert isinstance(summary.stopped_by, InvalidArgument)
    assert summary.stopped_by.reason == "PHOTOS_MISSING"


def test_a_server_that_is_not_there_ends_the_run(folder: Path) -> None:
    with Client("127.0.0.1:1", timeout_s=5) as nobody:
        summary = run_ingest(nobody, find_photos([folder]), timeout_s=5)
    assert summary.stopped_by is not None
    assert summary.stopped_by.reason == "UNREACHABLE"


def test_failures_are_written_as_they_come(tmp_path: Path) -> None:
    source = PhotoSource("a", tmp_path / "a.jpg", "uri://a", origin="list.csv")
    error = InvalidArgument("IMAGE_UNDECODABLE", "it is none")
    with FailureLog(tmp_path / "failed.jsonl") as log:
        log.add(source, IngestResult("a", IngestOutcome.FAILED, 0, 0, error))
        log.add(source, IngestResult("a", IngestOutcome.STORED, 3, 1))
        (line,) = (tmp_path / "failed.jsonl").read_text().splitlines()
    assert json.loads(line)["reason"] == "IMAGE_UNDECODABLE"
    with pytest.raises(InvalidArgument, match="cannot write"):
        FailureLog(tmp_path / "no" / "folder.jsonl")


def test_the_rate_is_over_the_last_seconds_and_gives_the_time_left() -> None:
    counter = ProgressCounter(100, 0.0)
    for photo in range(40):
        counter.add(IngestResult(str(photo), IngestOutcome.STORED, 35, photo))
        state = counter.at(float(photo + 1))
    assert state.photos_per_s == pytest.approx(1.0, abs=0.1)
    assert state.remaining_s == pytest.approx(60, rel=0.1)
    assert state.patches == 40 * 35
    assert ProgressCounter(None, 0.0).at(1.0).remaining_s is None
