"""The pages for everybody: axe-core's rules, the keyboard, small screens, their weight."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ui.browser import AXE, DESKTOP, PHONE, Tab, browsing
from tests.ui.conftest import RunningPage
from tests.ui.test_ui_search import hits_of

PAGES = (
    "/",
    "/?t=text:bus&t=patch:0,0,100,100@drive-0/000.jpg&w=1&w=-0.5&filter=exists+weather&exact=1",
    "/?t=text:bus&filter=weather",
    "/photo?id=drive-0/000.jpg&at=0,0,100,100&t=text:bus",
    "/photos",
    "/sets",
    "/sets/1",
    "/sets/compare?a=1&b=2",
    "/exports/1",
    "/ingest",
    "/status",
    "/access",
    "/nowhere",
    "/photo/selection?id=drive-0/000.jpg",
)
PAGE_WEIGHT = 300_000


@pytest.fixture
def judged(page: RunningPage) -> RunningPage:
    """A page with two sets and an export."""
    hits = hits_of(page.get("/", t="text:bus").text)
    for name in ("one", "two"):
        page.post("/sets", {"do": "create", "name": name})
        page.post("/hits", {"query": "t=text:bus", "all": "yes", "hit": hits[:3]})  # type: ignore[dict-item]
    page.post("/exports", {"set": "1", "format": "crops"})
    return page


@pytest.mark.parametrize(
    ("viewport", "dark"),
    [
        pytest.param(DESKTOP, False, id="desktop-light"),
        pytest.param(DESKTOP, True, id="desktop-dark", marks=pytest.mark.long),
        pytest.param(PHONE, False, id="phone-light", marks=pytest.mark.long),
        pytest.param(PHONE, True, id="phone-dark", marks=pytest.mark.long),
    ],
)
def test_axe_finds_nothing_serious(
    judged: RunningPage, tmp_path: Path, viewport: dict[str, int], dark: bool
) -> None:
    if not AXE.is_file():
        pytest.skip(f"axe-core is not in {AXE.parent}: make test-ui puts it there")
    source = AXE.read_text(encoding="utf-8")
    found = []
    with browsing(judged.address, tmp_path, viewport=viewport, dark=dark, bypass_csp=True) as tab:
        tab.page.goto("/sets")
        tab.page.locator("button[value=open]").first.click()
        for path in PAGES:
            tab.page.goto(path)
            tab.settled()
            tab.page.evaluate(source)
            result = tab.page.evaluate("axe.run()")
            for violation in result["violations"]:
                if violation["impact"] in ("serious", "critical"):
                    nodes = [node["html"][:160] for node in violation["nodes"][:3]]
                    found.append((path, violation["id"], nodes))
    assert found == []


def test_no_page_is_wider_than_the_screen(judged: RunningPage, tmp_path: Path) -> None:
    with browsing(judged.address, tmp_path, viewport=PHONE) as tab:
        for path in PAGES:
            tab.page.goto(path)
            wider = tab.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wider <= 0, path


def test_pages_are_light(judged: RunningPage, tmp_path: Path) -> None:
    with browsing(judged.address, tmp_path) as tab:
        sizes: list[int] = []
        tab.page.on("response", lambda answer: _weigh(answer, sizes))
        tab.page.goto("/?t=text:bus")
        tab.settled()
    assert 0 < sum(sizes) <= PAGE_WEIGHT, sum(sizes)


def test_the_keyboard_reaches_everything(judged: RunningPage, tmp_path: Path) -> None:
    with browsing(judged.address, tmp_path) as tab:
        for path in ("/?t=text:bus&k=2", "/photo?id=drive-0/000.jpg&t=text:bus", "/sets/1"):
            tab.page.goto(path)
            tab.settled()
            tab.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            wanted = tab.page.evaluate(
                """() => [...document.querySelectorAll('a[href], button, input, select, textarea')]
                  .filter(e => e.type !== 'hidden' && !e.disabled && e.getClientRects().length
                    && getComputedStyle(e).visibility !== 'hidden').length"""
            )
            reached = walk(tab, wanted + 20)
            assert reached >= wanted, (path, reached, wanted)


def walk(tab: Tab, most: int) -> int:
    """How many different controls Tab goes to, each with an outline that can be seen."""
    tab.page.evaluate("document.activeElement.blur(); window.seen = new Set()")
    for _ in range(most):
        tab.page.keyboard.press("Tab")
        shown = tab.page.evaluate(
            """() => { const e = document.activeElement;
              if (e === document.body) return true;
              if (e.matches('a, button, input, select, textarea')) window.seen.add(e);
              const hidden = e.id === 'picture' ? e.nextElementSibling : e;
              return getComputedStyle(hidden).outlineStyle !== 'none'; }"""
        )
        assert shown, tab.page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
    reached: int = tab.page.evaluate("window.seen.size")
    return reached


def _weigh(answer: object, sizes: list[int]) -> None:
    if "image/" not in answer.headers.get("content-type", ""):  # type: ignore[attr-defined]
        sizes.append(len(answer.body()))  # type: ignore[attr-defined]
