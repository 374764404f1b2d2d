"""`patchsearch ingest --runner ray` on a Ray cluster of two workers, against real services."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchsearch import Client
from patchsearch.serving import EmbeddedCluster

# Only looked for: Ray runs in the command's own process.
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        subprocess.run([sys.executable, "-c", "import ray"], capture_output=True).returncode != 0,
        reason="Ray is not installed; pip install 'patchsearch[ray]'",
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]
PHOTOS = 48


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(tmp_path_factory.mktemp("data"), encoder="mini") as made:
        yield made


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 photos and one that is none."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    lines = []
    for number in range(PHOTOS):
        name = f"{number}.png"
        Image.fromarray(rng.integers(0, 256, (90, 120, 3), np.uint8)).save(folder / name)
        lines.append({"image_id": f"drive/{number}", "uri": name, "number": number})
    (folder / "bad.jpg").write_bytes(b"no picture")
    lines.append({"image_id": "drive/bad", "uri": "bad.jpg"})
    path = folder / "list.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def command(cluster: EmbeddedCluster, manifest: Path, errors: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "patchsearch", "ingest", str(manifest), "--runner", "ray"),
        *("--ray-workers", "2", "--errors-to", str(errors), "--json"),
        *("--address", cluster.address),
    ]


def test_a_worker_dies_and_every_photo_is_stored_once(
    cluster: EmbeddedCluster, manifest: Path, tmp_path: Path
) -> None:
    errors = tmp_path / "errors.jsonl"
    with subprocess.Popen(
        command(cluster, manifest, errors),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        worker = first_worker(running)
        os.kill(worker, signal.SIGKILL)
        out, err = running.communicate(timeout=240)
    assert running.returncode == 1, err
    counts = json.loads(out)
    # What the dead worker had stored already is found again by its digest.
    assert counts["stored"] + counts["unchanged"] == PHOTOS
    assert (counts["failed"], counts["complete"]) == (1, False)
    (failed,) = (json.loads(line) for line in errors.read_text().splitlines())
    assert (failed["image_id"], failed["reason"]) == ("drive/bad", "IMAGE_UNDECODABLE")
    with Client(cluster.address) as client:
        stored = {image.image_id: image for image in client.list()}
        assert len(stored) == PHOTOS
        assert stored["drive/7"].metadata["number"] == 7

    again = subprocess.run(
        command(cluster, manifest, errors), capture_output=True, text=True, timeout=240
    )
    counts = json.loads(again.stdout)
    assert (counts["stored"], counts["unchanged"], counts["failed"]) == (0, PHOTOS, 1)


def test_a_ray_cluster_that_is_not_there_is_an_error(
    cluster: EmbeddedCluster, manifest: Path, tmp_path: Path
) -> None:
    asked = [*command(cluster, manifest, tmp_path / "e"), "--ray-cluster", "127.0.0.1:1"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1
    assert "RAY_UNREACHABLE" in done.stderr and "Traceback" not in done.stderr


def first_worker(running: subprocess.Popen[str]) -> int:
    """Process id of an ingest worker, as soon as there is one below the command."""
    until = time.monotonic() + 180
    while time.monotonic() < until and running.poll() is None:
        processes = {
            int(entry): parent_of(int(entry)) for entry in os.listdir("/proc") if entry.isdigit()
        }
        for pid in processes:
            if "IngestWorker" in name_of(pid) and running.pid in ancestors(pid, processes):
                return pid
        time.sleep(0.05)
    raise AssertionError("no worker came up")


def ancestors(pid: int, parents: dict[int, int]) -> set[int]:
    found: set[int] = set()
    while pid in parents and pid not in found:
        found.add(pid)
        pid = parents[pid]
    return found


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""
