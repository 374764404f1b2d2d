"""Tracing as a program has it: on with a setting, in its log lines, never in its way."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from patchsearch.v1 import search_service_pb2 as messages
from patchsearch.v1 import search_service_pb2_grpc as stubs
from service_runtime.clients import open_channel
from service_runtime.tracing import span, traced
from tests.service_runtime.otlp_collector import collecting

PROGRAM = Path(__file__).with_name("example_program.py")
TIMEOUT_S = 30


@pytest.fixture
def serve_and_stop(tmp_path: Path) -> Iterator[Any]:
    """serve_and_stop(*flags) serves one search: seconds its stop took, lines of its log."""

    def run(*flags: str) -> tuple[float, list[dict[str, Any]]]:
        ready = tmp_path / "ready.json"
        process = subprocess.Popen(
            [
                *(sys.executable, str(PROGRAM), "--ready-file", str(ready), "--stop-with-stdin"),
                *("--log-format", "json", *flags),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            until = time.monotonic() + TIMEOUT_S
            while not ready.exists():
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < until, "not ready in time"
                time.sleep(0.02)
            port = json.loads(ready.read_text())["port"]
            with open_channel(f"127.0.0.1:{port}") as channel:
                stubs.SearchServiceStub(channel).Search(messages.SearchRequest(), timeout=TIMEOUT_S)
            began = time.monotonic()
            _, err = process.communicate(timeout=TIMEOUT_S)
            assert process.returncode == 0
            return time.monotonic() - began, [json.loads(line) for line in err.splitlines()]
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()

    yield run


def test_log_lines_of_a_traced_call_name_its_trace(serve_and_stop: Any) -> None:
    with collecting() as collector:
        _, lines = serve_and_stop("--otlp-endpoint", collector.endpoint)

    (sent,) = collector.spans
    (call,) = [line for line in lines if line["event"] == "call"]
    assert (call["trace_id"], call["span_id"]) == (sent.trace, sent.id)
    assert call["request_id"] == sent.attributes["patchsearch.request_id"]
    assert sent.service == "patchsearch-example"
    assert not [line for line in lines if line["event"] != "call" and "trace_id" in line]


def test_without_an_endpoint_lines_have_a_request_id_alone(serve_and_stop: Any) -> None:
    _, lines = serve_and_stop()

    (call,) = [line for line in lines if line["event"] == "call"]
    assert "request_id" in call
    assert "trace_id" not in call


def test_a_collector_that_is_away_holds_nothing_up(serve_and_stop: Any) -> None:
    seconds, lines = serve_and_stop("--otlp-endpoint", "http://127.0.0.1:1", "--drain-s", "0")

    assert [line["code"] for line in lines if line["event"] == "call"] == ["OK"]
    assert seconds < 8, "two seconds for the last spans, the rest for a busy machine"


def test_an_endpoint_that_is_none_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--otlp-endpoint", "localhost"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )

    assert done.returncode == 2
    assert "--otlp-endpoint or PATCHSEARCH_EXAMPLE_OTLP_ENDPOINT" in done.stderr


def test_off_opentelemetry_is_not_even_imported() -> None:
    code = "import sys, service_runtime.server; print('opentelemetry' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT_S, check=True
    )

    assert done.stdout == "False\n"


def test_a_span_outside_of_traces_is_the_same_nothing() -> None:
    assert span("merge", runs=3) is span("encode")


def test_a_call_outside_of_traces_gets_no_header() -> None:
    assert traced("/a.Service/Call", lambda headers: list(headers)) == []
