from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from patchsearch.v1 import search_service_pb2 as messages
from patchsearch.v1 import search_service_pb2_grpc as stubs
from service_runtime.clients import open_channel

PROGRAM = Path(__file__).with_name("example_program.py")
TIMEOUT_S = 60


class Program:
    """The example program as a child process."""

    def __init__(self, ready_file: Path, *flags: str, **options: Any) -> None:
        self._ready_file = ready_file
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), "--ready-file", str(ready_file), *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def ready(self) -> dict[str, Any]:
        until = time.monotonic() + TIMEOUT_S
        while not self._ready_file.exists():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < until, "not ready in time"
            time.sleep(0.02)
        facts: dict[str, Any] = json.loads(self._ready_file.read_text())
        return facts

    def end(self, number: int | None = None) -> tuple[int, str, str]:
        """Sends a signal, waits for the end: exit status, standard output, standard error."""
        if number is not None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, out, err


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    programs = []

    def start(*flags: str, **options: Any) -> Program:
        programs.append(Program(tmp_path / "ready.json", *flags, **options))
        return programs[-1]

    yield start
    for program in programs:
        process = program.process
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_success(launch: Any, number: int, tmp_path: Path) -> None:
    program = launch("--log-format", "json")
    facts = program.ready()

    status, out, err = program.end(number)

    assert facts["pid"] == program.process.pid
    assert (status, out) == (0, "closed\n")
    events = [json.loads(line)["event"] for line in err.splitlines()]
    assert events == ["port open", "serving", "stopping", "stopped"]
    assert not (tmp_path / "ready.json").exists()


def test_a_running_call_finishes_and_then_close_is_called(launch: Any) -> None:
    program = launch("--search-s", "1")
    with open_channel(f"127.0.0.1:{program.ready()['port']}") as channel:
        call = stubs.SearchServiceStub(channel).Search.future(messages.SearchRequest(), timeout=20)
        assert program.process.stdout.readline() == "search begun\n"

        status, out, _ = program.end(signal.SIGTERM)

        assert call.result().epoch == 7
    assert (status, out) == (0, "closed\n")


def test_a_call_that_cannot_be_stopped_does_not_hold_the_process(launch: Any) -> None:
    program = launch("--search-s", "600", "--drain-s", "0.1")
    with open_channel(f"127.0.0.1:{program.ready()['port']}") as channel:
        call = stubs.SearchServiceStub(channel).Search.future(messages.SearchRequest(), timeout=20)
        assert program.process.stdout.readline() == "search begun\n"

        status, out, err = program.end(signal.SIGTERM)

        call.cancel()
    assert (status, out) == (1, "")
    assert "cannot be stopped" in err


def test_what_a_library_left_running_does_not_hold_the_process(launch: Any) -> None:
    program = launch("--linger")
    program.ready()

    status, out, err = program.end(signal.SIGTERM)

    assert (status, out) == (0, "closed\n")
    assert "stopped" in err.splitlines()[-1]


def test_a_second_signal_cuts_the_drain_short(launch: Any) -> None:
    program = launch("--search-s", "600", "--drain-s", "600")
    with open_channel(f"127.0.0.1:{program.ready()['port']}") as channel:
        call = stubs.SearchServiceStub(channel).Search.future(messages.SearchRequest(), timeout=60)
        assert program.process.stdout.readline() == "search begun\n"
        program.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)

        status, _, _ = program.end(signal.SIGTERM)

        call.cancel()
    assert status == 1


def test_it_ends_with_the_pipe_it_was_started_with(launch: Any) -> None:
    program = launch("--stop-with-stdin", stdin=subprocess.PIPE)
    program.ready()

    program.process.stdin.close()

    assert program.process.wait(TIMEOUT_S) == 0


def test_stopped_while_warming_up_it_waits_for_that_and_closes(launch: Any) -> None:
    program = launch("--warm-s", "1.5")
    assert "port open" in program.process.stderr.readline()

    status, out, err = program.end(signal.SIGTERM)

    assert (status, out) == (0, "closed\n")
    assert "serving" not in err


@pytest.mark.parametrize(
    ("fail", "line"),
    [
        ("open", "patchsearch-example: process 12 has it [DATA_DIR_IN_USE]"),
        ("warm", "patchsearch-example: made with another encoder [ENCODER_MISMATCH]"),
    ],
)
def test_a_foreseen_failure_is_one_line(launch: Any, fail: str, line: str) -> None:
    status, _, err = launch("--fail", fail, "--log-level", "warning").end()

    assert status == 1
    assert err.splitlines() == [line]


def test_what_fails_before_run_opens_no_port(launch: Any) -> None:
    _, _, err = launch("--fail", "open").end()

    assert "port open" not in err


def test_a_defect_in_the_warm_up_shows_its_trace(launch: Any) -> None:
    status, out, err = launch("--fail", "defect").end()

    assert (status, out) == (1, "closed\n")
    assert "ZeroDivisionError" in err


def test_a_taken_port_is_one_line(launch: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, out, err = launch("--port", str(port)).end()

    assert (status, out) == (1, "closed\n")
    (line,) = err.splitlines()
    assert f"port {port}" in line
    assert "--port or PATCHSEARCH_EXAMPLE_PORT" in line
    assert line.endswith("[PORT_TAKEN]")


def test_beyond_loopback_without_tls_and_tokens_it_does_not_start(launch: Any) -> None:
    status, out, err = launch("--host", "0.0.0.0", "--log-level", "warning").end()

    assert (status, out) == (1, "closed\n")
    (line,) = err.splitlines()
    assert "--tls-cert or PATCHSEARCH_EXAMPLE_TLS_CERT" in line
    assert "--tokens or PATCHSEARCH_EXAMPLE_TOKENS" in line
    assert "--insecure or PATCHSEARCH_EXAMPLE_INSECURE" in line
    assert line.endswith("[INSECURE_BIND]")


def test_insecure_written_out_lets_it_start_with_a_warning(launch: Any) -> None:
    program = launch("--host", "0.0.0.0", "--insecure", "--log-level", "warning")
    program.ready()

    _, _, err = program.end(signal.SIGTERM)

    (line,) = err.splitlines()
    assert "--insecure" in line
