"""Brings what the pages link to, but lies outside of docs/, into the site.

The README becomes the first page. A Markdown page of the repository that another one links to
becomes a page below `repository/`, any other file a copy there. Links are written anew for their
new places; one that leads to a folder keeps its text only.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
_START = "README.md"
_ALWAYS = (_START, "CHANGELOG.md", "CONTRIBUTING.md", "deploy/README.md", "benchmarks/RESULTS.md")
_LINK = re.compile(r"(!?\[(?P<text>[^\]]*)\])\((?P<path>[^)#\s]+)(?P<rest>[^)]*)\)")


def on_files(files: Files, config: Any) -> Files:
    """Adds the repository's files that pages lead to."""
    waiting = [f"docs/{file.src_uri}" for file in files if file.src_uri.endswith(".md")]
    waiting += [path for path in _ALWAYS if (ROOT / path).is_file()]
    seen: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        if not path.startswith("docs/"):
            files.append(File.generated(config, _place(path), abs_src_path=str(ROOT / path)))
        if path.endswith(".md"):
            waiting += [target for target in _targets(path) if (ROOT / target).is_file()]
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Points links to where the hook put their targets."""
    here = os.path.relpath(page.file.abs_src_path, ROOT).replace(os.sep, "/")

    def moved(match: re.Match[str]) -> str:
        target = _target(here, match["path"])
        if target is None or not (ROOT / target).exists():
            return match[0]
        if files.get_file_from_path(_place(target)) is None:
            return match["text"]
        place = posixpath.relpath(_place(target), posixpath.dirname(_place(here)) or ".")
        return f"{match[1]}({place}{match['rest']})"

    return _LINK.sub(moved, markdown)


def _targets(page: str) -> Iterator[str]:
    for match in _LINK.finditer((ROOT / page).read_text(encoding="utf-8")):
        target = _target(page, match["path"])
        if target is not None:
            yield target


def _target(page: str, link: str) -> str | None:
    """The file of the repository that a link of a page means; None for anything else."""
    if "://" in link or link.startswith(("mailto:", "/", "#")):
        return None
    target = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
    return None if target.startswith("..") else target


def _place(path: str) -> str:
    if path == _START:
        return "index.md"
    return path.removeprefix("docs/") if path.startswith("docs/") else f"repository/{path}"
