"""The ledger: a process of its own that writes down intents and acknowledgements, durably.

`python -m tests.chaos.partition.ledger SOCKET FILE` appends one JSON line for each line that it is
sent and answers with one byte once the line is synced; lines that wait together share one fsync.
It ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

Entry = dict[str, Any]


class LedgerClient:
    """One connection to a ledger. Not thread-safe: each thread has its own."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(address)

    def append(self, entry: Entry) -> None:
        """Returns when the entry is in the ledger, durably."""
        self._socket.sendall(json.dumps(entry).encode() + b"\n")
        if self._socket.recv(1) != b".":
            raise ConnectionError("the ledger is gone")

    def close(self) -> None:
        self._socket.close()


class Ledger:
    """A running ledger process; a context manager."""

    def __init__(self, file: Path) -> None:
        self.file = file
        # Addresses of sockets are short.
        self._room = tempfile.TemporaryDirectory(prefix="ledger-")
        self.address = f"{self._room.name}/socket"
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, self.address, str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        self._own = LedgerClient(self.address)

    def append(self, entry: Entry) -> None:
        """Writes an entry of the referee's; what dead writers had sent whole is in before."""
        self._own.append(entry)

    def note(self, facts: Entry) -> None:
        """For people who read the ledger."""
        self.append({"kind": "note", **facts})

    def entries(self) -> list[Entry]:
        """What is written down as of now."""
        return read_entries(self.file)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._own.close()
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()
        self._room.cleanup()


def read_entries(file: Path) -> list[Entry]:
    """The entries of a ledger's file; a line that is still being written is not one."""
    whole, _, _ = file.read_bytes().rpartition(b"\n")
    return [json.loads(line) for line in whole.splitlines()]


def _serve(address: str, file: Path) -> None:
    door = socket.socket(socket.AF_UNIX)
    door.bind(address)
    door.listen()
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    ready = selectors.DefaultSelector()
    ready.register(door, selectors.EVENT_READ)
    ready.register(sys.stdin, selectors.EVENT_READ)
    halves: dict[socket.socket, bytes] = {}
    print("ready", flush=True)
    while True:
        lines: list[bytes] = []
        senders: list[tuple[socket.socket, int]] = []
        for key, _ in ready.select():
            if key.fileobj is sys.stdin:
                return
            if key.fileobj is door:
                client, _ = door.accept()
                ready.register(client, selectors.EVENT_READ)
                halves[client] = b""
                continue
            sender = key.fileobj
            assert isinstance(sender, socket.socket)
            data = _received(sender)
            if not data:
                # A writer that was killed; what it had not sent whole was never an entry.
                ready.unregister(sender)
                del halves[sender]
                sender.close()
                continue
            *whole, halves[sender] = (halves[sender] + data).split(b"\n")
            lines += whole
            senders.append((sender, len(whole)))
        if lines:
            os.write(descriptor, b"".join(line + b"\n" for line in lines))
            os.fdatasync(descriptor)
        for sender, count in senders:
            try:
                sender.sendall(b"." * count)
            except OSError:
                continue


def _received(client: socket.socket) -> bytes:
    try:
        return client.recv(1 << 16)
    except OSError:
        return b""


if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2]))
