"""Small ext4 disks in files, mounted through loop devices; all of it takes root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_QUIET_S = 10.0


def why_no_disks() -> str:
    """Why no disk can be made here; empty where one can."""
    if os.geteuid() != 0:
        return "not root"
    if shutil.which("mkfs.ext4") is None or shutil.which("losetup") is None:
        return "mkfs.ext4 or losetup is not installed"
    if not Path("/dev/loop-control").exists():
        return "no loop devices"
    with tempfile.TemporaryDirectory(prefix="disk-") as room:
        try:
            with mounted(new_image(Path(room) / "image", 16), Path(room) / "mount"):
                return ""
        except subprocess.CalledProcessError as error:
            return f"{' '.join(error.cmd[:1])} failed: {error.stderr.decode().strip()}"


def new_image(image: Path, megabytes: int) -> Path:
    """An empty ext4 file system in a sparse file, without a reserve for root."""
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    lazy = "lazy_itable_init=0,lazy_journal_init=0,discard"
    _run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", lazy, str(image))
    return image


@contextmanager
def mounted(image: Path, mount: Path) -> Iterator[Path]:
    """Mounts an image, after the recovery of its journal where that is due; gives the device."""
    mount.mkdir(exist_ok=True)
    device = _run("losetup", "--find", "--show", str(image))
    try:
        _run("mount", "-t", "ext4", "-o", "noatime", device, str(mount))
        try:
            yield Path(device)
        finally:
            unmount(mount)
    finally:
        _run("losetup", "--detach", device)


@contextmanager
def memory_disk(mount: Path, megabytes: int) -> Iterator[Path]:
    """A file system in memory with a limit."""
    mount.mkdir(exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(mount))
    try:
        yield mount
    finally:
        unmount(mount)


def unmount(mount: Path) -> None:
    """Unmounts; waits for those who leave."""
    until = time.monotonic() + _QUIET_S
    while subprocess.run(["umount", str(mount)], capture_output=True).returncode:
        if time.monotonic() > until:
            _run("umount", "--lazy", str(mount))
            return
        time.sleep(0.1)


def copied_as_it_is(image: Path, device: Path, target: Path) -> None:
    """Copies what the device holds at one moment: no write reached it meanwhile.

    What only the page cache of the file system above holds is not in the copy, as in a power loss.
    """
    until = time.monotonic() + _QUIET_S
    while True:
        before = _traffic(device)
        _copy_sparse(image, target)
        if before == _traffic(device):
            return
        if time.monotonic() > until:
            raise TimeoutError(f"{device} is written to all the time")


def _traffic(device: Path) -> tuple[int, int]:
    """Writes done and requests in flight, or never the same where something is in flight."""
    fields = (Path("/sys/block") / device.name / "stat").read_text().split()
    writes, in_flight = int(fields[4]), int(fields[8])
    return writes, time.monotonic_ns() if in_flight else 0


def _copy_sparse(source: Path, target: Path) -> None:
    size = source.stat().st_size
    with source.open("rb") as from_file, target.open("wb") as to_file:
        to_file.truncate(size)
        at = 0
        while at < size:
            try:
                start = os.lseek(from_file.fileno(), at, os.SEEK_DATA)
            except OSError:
                # Nothing but a hole is left.
                return
            at = os.lseek(from_file.fileno(), start, os.SEEK_HOLE)
            while start < at:
                start += os.copy_file_range(
                    from_file.fileno(), to_file.fileno(), at - start, start, start
                )


def _run(*command: str) -> str:
    done = subprocess.run(command, check=True, capture_output=True)
    return done.stdout.decode().strip()
