"""`patchsearch ui` and `patchsearch serve --ui` as commands."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from patchsearch.cli.app import run as run_command

SERVE = """
import sys
from pathlib import Path
from patchsearch.serving import serve
from tests.serving.fake_supervisor import fake_programs
from ui.program import running_ui
from ui.settings import make_settings
data = Path(sys.argv[1])
sys.exit(serve(
    data, port=0, programs=fake_programs(), echo=lambda line: print(line, flush=True),
    page=lambda address: running_ui(make_settings(router=address, port=0, data=data / "desk")),
))
"""


def started(*command: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    )


def url_in(process: subprocess.Popen[str]) -> str:
    for _ in range(2):
        line = process.stdout.readline() if process.stdout else ""
        if match := re.search(r"http://[0-9.]+:\d+", line):
            return match[0]
    raise AssertionError(process.communicate(timeout=10))


def test_the_command_serves_until_a_signal(tmp_path: Path) -> None:
    process = started(
        "-m", "patchsearch", "ui", "--port", "0", "--photos", str(tmp_path),
        env={"PATCHSEARCH_UI_DATA": str(tmp_path / "desk"), "PATCHSEARCH_ADDRESS": "127.0.0.1:9"},
    )  # fmt: skip
    try:
        url = url_in(process)
        assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}
        assert httpx.get(url).status_code == 503
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
        assert process.returncode in (0, -signal.SIGTERM) and err == ""
    finally:
        process.kill()


def test_the_page_runs_beside_the_services_and_ends_with_them(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.mkdir()
    process = started("-c", SERVE, str(tmp_path / "data"), env={"FAKE_TRACE": str(trace)})
    try:
        url = url_in(process)
        assert httpx.get(f"{url}/healthz").status_code == 200
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0 and "stopping" in err
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--host", "0.0.0.0"], "access-token-file"),
        (["--port", "70000"], "port"),
        (["--photos", "/nowhere/at/all"], "no folder"),
    ],
)
def test_bad_settings_are_one_line(
    flags: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(tmp_path / "desk")]
    assert run_command(["ui", *data, *flags]) == 1
    # Servers of other tests, in this process, may log meanwhile.
    err = [line for line in capsys.readouterr().err.splitlines() if "component=" not in line]
    assert len(err) == 1 and words in err[0]
