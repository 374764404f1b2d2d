"""The processes of a cluster under test: started, stopped in every way, always ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[3]
_START_S = 120.0
_STOP_S = 30.0


class Server:
    """A program with a ready file; keeps its port over restarts."""

    def __init__(self, name: str, command: Sequence[str], room: Path, *, port: int = 0) -> None:
        """`command` without port and ready file; the tests' own encoder takes the latter alone."""
        self.name = name
        self.port = port
        self._command = tuple(command)
        self._ready = room / f"{name}.ready"
        self._log = room / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it without waiting; see `wait_ready`."""
        self.close()
        self._ready.unlink(missing_ok=True)
        if "tests.chaos.cluster.encoder" in self._command:
            own: tuple[str, ...] = (str(self._ready),)
        else:
            own = (
                *("--port", str(self.port)),
                *("--ready-file", str(self._ready)),
                *("--log-level", "warning"),
                "--stop-with-stdin",
            )
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._command, *own],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"},
            )

    def wait_ready(self) -> None:
        until = time.monotonic() + _START_S
        while not self._ready.exists():
            if not self.running:
                raise AssertionError(f"{self.name} ended while it started: {self.last_words()}")
            if time.monotonic() > until:
                raise AssertionError(f"{self.name} is not ready: {self.last_words()}")
            time.sleep(0.05)
        self.port = int(json.loads(self._ready.read_text())["port"])

    def kill(self) -> None:
        """SIGKILL, and waits for the end."""
        self.send(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(_STOP_S)

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> int:
        """SIGTERM, and waits; the exit status."""
        self.send(signal.SIGTERM)
        assert self._process is not None
        return self._process.wait(_STOP_S)

    def close(self) -> None:
        """Ends it, in whatever state it is; again is not an error."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.kill()
            process.wait(_STOP_S)
        if process.stdin is not None:
            process.stdin.close()
        self._process = None

    def last_words(self) -> str:
        return self._log.read_bytes()[-3000:].decode(errors="replace")
