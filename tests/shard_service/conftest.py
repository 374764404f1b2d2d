"""Partitions on real disks, and threads whose failures fail the test."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shard_service.options import PartitionOptions
from shard_service.partition import Partition
from shard_service.partition_files import create_partition
from shard_service.store.meta import Identity
from tests.shard_service.material import IDENTITY, OPTIONS


class Opened:
    """Opens and closes partitions of one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._open: list[Partition] = []

    def __call__(self, identity: Identity = IDENTITY, **options: Any) -> Partition:
        if not self.directory.exists():
            create_partition(self.directory, identity, OPTIONS.map_bytes)
        values = {name: getattr(OPTIONS, name) for name in OPTIONS.__slots__}
        partition = Partition(self.directory, PartitionOptions(**{**values, **options}))
        self._open.append(partition)
        return partition

    def close(self) -> None:
        for partition in self._open:
            partition.close()
        self._open.clear()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    opened = Opened(tmp_path / "p0")
    yield opened
    opened.close()


@pytest.fixture
def partition(opened: Opened) -> Partition:
    return opened()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20141)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 6 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small file system failed")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=True)


class Workers:
    """Threads whose failures fail the test."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    def start(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                self._errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        self._threads.append(thread)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]


@pytest.fixture
def workers() -> Iterator[Workers]:
    workers = Workers()
    yield workers
    workers.join()
