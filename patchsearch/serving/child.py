"""One child process: started with a pipe that ties it to this one, watched, restarted, stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from patchsearch.errors import FailedPrecondition, Unavailable
from patchsearch.ports import join_address

Flags = Callable[[int], Sequence[str]]
"""Port -> the whole command line; asked again at every start."""

_POLL_S = 0.05
_KEPT_LOGS = 3


@dataclass(frozen=True)
class RestartPolicy:
    """When a dead child is started again, and when no more."""

    pauses_s: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0, 4.0)
    """Seconds before the first restart, the second, ...; the last for all that follow."""
    deaths: int = 5
    """So many deaths within `window_s` seconds, and it is given up."""
    window_s: float = 60.0


class Child:
    """A service process that keeps its port over restarts. Thread-safe after `start`.

    The child's standard input is a pipe whose other end only this process holds: when this process
    ends, in whatever way, the child reads the end of it and stops. So nothing is ever orphaned.
    """

    def __init__(
        self,
        name: str,
        command: Flags,
        *,
        host: str,
        port: int,
        ready_file: Path,
        log_file: Path | None,
        restarts: RestartPolicy,
    ) -> None:
        self.name = name
        self._command = command
        self._host = host
        self._port = port
        self._ready_file = ready_file
        self._log_file = log_file
        self._restarts = restarts
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._starting = threading.Lock()  # no restart slips in while `stop` looks for a process
        self._watcher: threading.Thread | None = None
        if log_file is not None:
            _rotate(log_file)

    @property
    def address(self) -> str:
        """host:port; final once `wait_ready` has returned."""
        return join_address(self._host, self._port)

    @property
    def port(self) -> int:
        return self._port

    @property
    def pid(self) -> int | None:
        """Process id; None before `start`. Another one after a restart."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Spawns the process, in a session of its own so that Ctrl-C reaches only this one."""
        self._ready_file.unlink(missing_ok=True)
        output: IO[bytes] | None = None
        if self._log_file is not None:
            output = self._log_file.open("ab")
        try:
            self._process = subprocess.Popen(
                list(self._command(self._port)),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        finally:
            if output is not None:
                output.close()

    def wait_ready(self, timeout_s: float, cancelled: Callable[[], bool]) -> None:
        """Returns once the service serves; its port is known then.

        Raises FailedPrecondition (CHILD_FAILED) with the child's own last words when it ended
        instead, Unavailable (CHILD_SLOW) when `timeout_s` seconds passed, Unavailable (CANCELLED)
        as soon as `cancelled()`.
        """
        until = time.monotonic() + timeout_s
        while not self._ready_file.exists():
            self.raise_if_ended()
            if cancelled():
                raise Unavailable("CANCELLED", "stopped while starting")
            if time.monotonic() > until:
                raise Unavailable(
                    "CHILD_SLOW",
                    f"the {self.name} was not ready within {timeout_s:g} s{self._last_words()}",
                )
            time.sleep(_POLL_S)
        self._port = int(json.loads(self._ready_file.read_text(encoding="utf-8"))["port"])

    def raise_if_ended(self) -> None:
        """Raises FailedPrecondition (CHILD_FAILED), with its last words, once it is no more."""
        status = self._running().poll()
        if status is not None:
            raise FailedPrecondition(
                "CHILD_FAILED",
                f"the {self.name} ended with {_status(status)} while it started"
                f"{self._last_words()}",
            )

    def watch(self, restarted: Callable[[], None], gave_up: Callable[[str], None]) -> None:
        """From now on restarts the process when it dies, at the same port, as the policy says.

        `restarted()` is called when it runs again, `gave_up(why)` when it died too often. Both are
        called from a thread of the child's.
        """
        self._watcher = threading.Thread(
            target=self._keep_alive,
            args=(restarted, gave_up),
            name=f"watch-{self.name}",
            daemon=True,
        )
        self._watcher.start()

    def stop(self, timeout_s: float, hurry: Callable[[], bool]) -> None:
        """SIGTERM; SIGKILL to its process group after `timeout_s` seconds or once `hurry()`."""
        with self._starting:
            self._stopping.set()
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        until = time.monotonic() + timeout_s
        while process.poll() is None and time.monotonic() < until and not hurry():
            time.sleep(_POLL_S)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if self._watcher is not None:
            self._watcher.join()
        _close_stdin(process)
        self._ready_file.unlink(missing_ok=True)

    def _keep_alive(self, restarted: Callable[[], None], gave_up: Callable[[str], None]) -> None:
        policy = self._restarts
        deaths: deque[float] = deque(maxlen=policy.deaths)
        while True:
            process = self._running()
            status = process.wait()
            if self._stopping.is_set():
                return
            now = time.monotonic()
            deaths.append(now)
            if len(deaths) == policy.deaths and now - deaths[0] < policy.window_s:
                gave_up(
                    f"the {self.name} died {policy.deaths} times within "
                    f"{now - deaths[0]:.0f} s, last "
                    f"with {_status(status)}{self._last_words()}"
                )
                return
            recent = sum(1 for moment in deaths if now - moment < policy.window_s)
            if self._stopping.wait(policy.pauses_s[min(recent, len(policy.pauses_s)) - 1]):
                return
            with self._starting:
                if self._stopping.is_set():
                    return
                _close_stdin(process)
                try:
                    self.start()
                except OSError:
                    # No memory or no disk for it now. The old process counts as dying once more.
                    continue
            restarted()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process

    def _last_words(self) -> str:
        if self._log_file is None:
            return "; its messages are above"
        with self._log_file.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 4000))
            lines = file.read().decode("utf-8", errors="replace").strip().splitlines()
        said = next((line for line in reversed(lines) if line.startswith("patchsearch-")), "")
        said = said or (lines[-1] if lines else "it said nothing")
        return f": {said.strip()} (log: {self._log_file})"


def _close_stdin(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()


def _status(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"


def _rotate(log: Path) -> None:
    if not log.exists() or log.stat().st_size == 0:
        return
    for number in range(_KEPT_LOGS - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number + 1}"))
    log.replace(log.with_name(f"{log.name}.1"))
