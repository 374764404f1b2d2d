"""etcd, as Debian's `etcd-server` has it, in a process of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_STARTS_WITHIN_S = 30.0


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago: etcd has to be told one, it takes none of its own."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@contextmanager
def serving_etcd(directory: Path, client_port: int | None = None) -> Iterator[str]:
    """host:port of an etcd of one member while it serves; skips the test where there is none.

    The same directory and port again: what it held is there.
    """
    binary = shutil.which("etcd")
    if binary is None:
        pytest.skip("needs etcd: apt-get install etcd-server")
    free, peer = _free_ports(2)
    client = client_port or free
    client_url, peer_url = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    with (directory / "etcd.log").open("wb") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--data-dir={directory / 'data'}",
                f"--listen-client-urls={client_url}",
                f"--advertise-client-urls={client_url}",
                f"--listen-peer-urls={peer_url}",
                f"--initial-advertise-peer-urls={peer_url}",
                f"--initial-cluster=default={peer_url}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        _wait(process, client_url, directory / "etcd.log")
        yield f"127.0.0.1:{client}"
    finally:
        process.terminate()
        process.wait(30)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + _STARTS_WITHIN_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            with opener.open(f"{url}/health", timeout=1) as answer:
                if b"true" in answer.read():
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise AssertionError(f"etcd did not start: {log.read_text()[-2000:]}")
