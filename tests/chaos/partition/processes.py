"""Child processes of the referee: started ahead, told what to do by one line, always ended."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[3]
WRITER = "tests.chaos.partition.writer"
LOOKER = "tests.chaos.partition.looker"

PATIENCE_S = 600.0
"""For children of a machine that has other things to do: only the endless is a failure."""

Message = dict[str, Any]


class Child:
    """A module that runs as a process; it speaks JSON lines. A context manager that kills it.

    It starts at once, so that its imports are done by the time that it is told something.
    """

    def __init__(self, module: str, log: Path) -> None:
        self.log = log
        self._said: list[Message] = []
        self._changed = threading.Condition()
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def tell(self, line: Message) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(line).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            # It ended; whoever waits for its words finds out.
            return

    def said(self, key: str) -> list[Any]:
        """The values under `key` of all that it has said so far."""
        with self._changed:
            return [message[key] for message in self._said if key in message]

    def last(self) -> Message:
        """What it said last."""
        with self._changed:
            return self._said[-1]

    def wait_for(self, wanted: Callable[[], bool], timeout_s: float) -> bool:
        """Waits until `wanted` after some word of the child; False at its end or the timeout."""
        until = time.monotonic() + timeout_s
        while not wanted():
            with self._changed:
                if not self._reader.is_alive() or time.monotonic() > until:
                    return wanted()
                self._changed.wait(0.02)
        return True

    def need(self, word: str, timeout_s: float = PATIENCE_S) -> None:
        """Waits until it has said `word`; raises RuntimeError when it does not."""
        if not self.wait_for(lambda: bool(self.said(word)), timeout_s):
            raise RuntimeError(f"a child did not say {word!r}; see {self.log}")

    def wait_end(self, timeout_s: float) -> bool:
        """Whether it ends by itself in time."""
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL; returns when it is gone and all that it said has been read."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._reader.join()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdout.close()
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            return

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            # The last line of a killed process may be half a line.
            if line.endswith(b"\n"):
                message = json.loads(line)
                with self._changed:
                    self._said.append(message)
                    self._changed.notify_all()


def look(looker: Child, request: Message, timeout_s: float = PATIENCE_S) -> Message:
    """What a looker answers; {"crashed": how} when it ends or does not answer."""
    before = len(looker.said("findings")) + len(looker.said("unopened"))
    looker.tell(request)

    def answered() -> bool:
        return len(looker.said("findings")) + len(looker.said("unopened")) > before

    if looker.wait_for(answered, timeout_s):
        return looker.last()
    code = looker.process.poll()
    return {"crashed": "no answer in time" if code is None else f"exit status {code}"}
