"""What the disk does to a store: a map that is too small, a disk that is full, a limit on files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from patchsearch.errors import ResourceExhausted
from shard_service.search.query import PartitionQuery
from tests.shard_service.conftest import Opened, Workers
from tests.shard_service.material import FINGERPRINT, photo, row_of_boxes, units
from tests.shard_service.oracle import Oracle, found


def test_the_map_grows_under_concurrent_reads_and_writes(opened: Opened, workers: Workers) -> None:
    partition = opened(map_bytes=64 << 10)

    def write(writer: int) -> None:
        rng = np.random.default_rng(writer)
        for number in range(60):
            vectors = units(rng, 20)
            partition.put([photo(f"w{writer}-{number}", row_of_boxes(20), vectors)], FINGERPRINT)
            hits = partition.search(PartitionQuery(vectors[3], 2), FINGERPRINT).hits
            assert hits[0].image.image_id == f"w{writer}-{number}".encode()

    for writer in range(4):
        workers.start(lambda writer=writer: write(writer))
    workers.join()
    assert (partition.describe().images, partition.describe().patches) == (240, 4800)
    opened.close()
    # Opened with the small size again: the file says how large the map must be.
    assert opened(map_bytes=64 << 10).describe().patches == 4800


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    mount = tmp_path / "small"
    mount.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(mount)], capture_output=True
    )
    if made.returncode:
        pytest.skip(f"mounting a small file system failed: {made.stderr.decode().strip()}")
    yield mount
    subprocess.run(["umount", "--lazy", str(mount)], check=True)


def test_a_full_disk_refuses_writes_until_there_is_room(
    small_disk: Path, rng: np.random.Generator
) -> None:
    opened = Opened(small_disk / "p0")
    try:
        ballast = small_disk / "ballast"
        partition, oracle = opened(), Oracle()
        ballast.write_bytes(bytes((14 << 20) + (900 << 10)))
        refusals = 0
        for number in range(400):
            write = photo(f"i{number}", row_of_boxes(100, 30), units(rng, 100))
            try:
                partition.put([write], FINGERPRINT)
                oracle.put(write)
            except ResourceExhausted as error:
                assert error.reason == "DISK_FULL" and error.retry_after_s
                refusals += 1
                if refusals == 5:
                    break
        assert refusals == 5 and oracle.patches >= 1000
        for _ in range(2):
            query = PartitionQuery(units(rng, 1)[0], 1000)
            assert found(partition.search(query, FINGERPRINT)) == oracle.search(query)
            assert len(partition.list_images("", "", 1000)) == len(oracle.images)
            opened.close()
            partition = opened()
        # Sealing finds no room either; nothing is lost by it.
        with pytest.raises(OSError):
            partition.seal()
        assert "building failed" in partition.describe().activity
        assert not list((opened.directory / "segments").glob("*"))
        ballast.unlink()
        assert partition.put([write], FINGERPRINT) == [True] == oracle.put(write)
        assert partition.seal() == oracle.patches
        assert partition.describe().activity == ""
        query = PartitionQuery(units(rng, 1)[0], 1000)
        assert found(partition.search(query, FINGERPRINT)) == oracle.search(query)
    finally:
        opened.close()


LIMITED = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
import numpy as np
from patchsearch.errors import ResourceExhausted
from tests.shard_service.conftest import Opened
from tests.shard_service.material import FINGERPRINT, photo, row_of_boxes, units

opened = Opened(Path(sys.argv[1]))
partition = opened()
# Files may not grow past this: what a quota does, for one process.
resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, resource.RLIM_INFINITY))
rng = np.random.default_rng(0)
stored = refused = 0
while refused < 3:
    try:
        partition.put([photo(f"i{{stored}}", row_of_boxes(40), units(rng, 40))], FINGERPRINT)
        stored += 1
    except ResourceExhausted as error:
        refused += error.reason == "DISK_FULL"
assert stored > 10
assert partition.describe().images == stored
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
write = photo(f"i{{stored}}", row_of_boxes(40), units(rng, 40))
assert partition.put([write], FINGERPRINT) == [True]
opened.close()
assert opened().describe().patches == 40 * (stored + 1)
opened.close()
print("survived")
"""


def test_a_write_that_the_system_cuts_short_is_undone(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "p0")], capture_output=True, text=True
    )
    assert ended.stdout.endswith("survived\n"), ended.stderr
