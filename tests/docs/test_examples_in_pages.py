"""The code that the pages show compiles, imports what there is, and names options that exist."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from patchsearch.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")])
COMMAND_LINE: Any = typer.main.get_command(app)


def code_blocks(language: str) -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for number, block in enumerate(re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)):
            yield f"{page.relative_to(ROOT)}:{number}", block


def shell_lines() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        found = re.findall(r"^ *(\$ )?(patchsearch ([a-z-]+)(?: .*)?)$", text, re.MULTILINE)
        for number, (prompt, line, name) in enumerate(found):
            # Without a prompt it may be what a command prints, or prose.
            if prompt or name in COMMAND_LINE.commands:
                yield f"{page.relative_to(ROOT)}:{number}", line


PYTHON = dict(code_blocks("python"))
SHELL = dict(shell_lines())


@pytest.mark.parametrize("place", PYTHON)
def test_python_compiles_and_its_imports_are_there(place: str) -> None:
    tree = ast.parse(PYTHON[place])
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    ours = [n for n in imports if "patchsearch" in ast.unparse(n)]
    exec(compile(ast.Module(ours, []), place, "exec"), {})


@pytest.mark.parametrize("place", SHELL)
def test_commands_and_their_options_are_there(place: str) -> None:
    words = shlex.split(SHELL[place], comments=True)[1:]
    command: Any = COMMAND_LINE
    while words and words[0] in getattr(command, "commands", ()):
        command = command.commands[words.pop(0)]
    assert not hasattr(command, "commands"), f"no command in {SHELL[place]!r}"
    known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)} | {"--help"}
    for word in words:
        if word in ("|", ">", "&&", ";"):
            break
        if word.startswith("--"):
            assert word.partition("=")[0] in known, SHELL[place]


def test_the_pages_show_something() -> None:
    assert len(PYTHON) >= 8 and len(SHELL) >= 30
