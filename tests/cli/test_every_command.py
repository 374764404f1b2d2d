"""What holds for every command: JSON, help, completion, exit codes that are documented."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from patchsearch.cli.app import FAILED, UNREACHABLE, app, run
from tests.interruptible import HEARS_SIGINT

ROOT = Path(__file__).resolve().parents[2]
# They serve until they are stopped, and so answer nothing.
SERVES = {"serve", "ui"}


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
        return
    for name, one in below.items():
        yield from commands(one, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_it_prints_json_and_says_what_it_does(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    options = [name for parameter in command.params for name in parameter.opts]
    assert ("--json" in options) == (path[0] not in SERVES)
    assert command.help
    silent = [p.name for p in command.params if p.param_type_name == "option" and not p.help]
    assert not silent


def test_wrong_use_and_nobody_there_have_codes_of_their_own(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(["search", "--colour", "red"]) == 2
    assert run(["no-such-command"]) == 2
    nobody = ("--address", "127.0.0.1:1", "--timeout", "5")
    assert run(["search", "--text", "a", *nobody]) == UNREACHABLE == 3
    assert run(["describe", *nobody]) == UNREACHABLE
    assert run(["judge", "/no/such/set.csv"]) == FAILED == 1
    assert run(["version", "--json"]) == 0
    assert capfd.readouterr().out.count('"version"') == 1


def test_ctrl_c_is_no_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        command = [*HEARS_SIGINT, "patchsearch", "describe", "--address", f"{host}:{port}"]
        waiting = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        connection, _ = silent.accept()
        with connection:
            waiting.send_signal(signal.SIGINT)
            _, told = waiting.communicate(timeout=60)
    assert waiting.returncode == 130
    assert b"Traceback" not in told


def test_the_exit_codes_are_documented() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (\d+) \|", page, re.MULTILINE) == ["0", "1", "2", "3", "130"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_get_completion(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "patchsearch", "--show-completion", shell],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "_COMPLETE" in done.stdout and "patchsearch" in done.stdout
