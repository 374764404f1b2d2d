"""The documentation builds as a site, without warnings, needs no other host, and its links lead
somewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it that links can name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attributes}
        self.anchors |= {told[name] for name in ("id", "name") if name in told}
        if tag == "a" and "href" in told:
            self.links.append(told["href"])
        elif tag == "link" and told.get("rel") in ("stylesheet", "preload", "icon", "preconnect"):
            self.loads.append(told.get("href", ""))
        elif "src" in told:
            self.loads.append(told["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason="mkdocs-material is not installed")
    folder = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    unshare = shutil.which("unshare")
    alone = [unshare, "--user", "--net"] if unshare else []
    if alone and subprocess.run([*alone, "true"], capture_output=True).returncode != 0:
        alone = []
    built = subprocess.run(
        [*alone, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def test_every_page_is_in_it(pages: dict[Path, Page], site: Path) -> None:
    written = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    assert len(written) > 20
    for page in written:
        # The decisions' README is the index of its folder.
        name = page.with_name("index.html") if page.stem == "README" else page.with_suffix(".html")
        assert site / name in pages
    assert (site / "repository" / "benchmarks" / "RESULTS.html") in pages


def test_every_page_for_readers_is_in_the_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    docs = ROOT / "docs"
    for page in [*docs.glob("*.md"), *docs.glob("howto/*.md")]:
        assert f": {page.relative_to(docs).as_posix()}\n" in menu + "\n"


def test_links_lead_somewhere(pages: dict[Path, Page], site: Path) -> None:
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":
            continue
        for link in page.links + page.loads:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchors = pages[target].anchors if target in pages else set()
            if not target.is_file() or (
                parts.fragment and target in pages and unquote(parts.fragment) not in anchors
            ):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Page], site: Path) -> None:
    for path, page in pages.items():
        for load in page.loads:
            assert not urlsplit(load).scheme and not load.startswith("//"), (path, load)
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert "url(http" not in text and "@import" not in text, style
