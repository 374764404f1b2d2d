"""`python -m tests.ui.screenshots URL OUT`: pictures of every page of a running desk.

The collection behind it should hold generated scenes, ingested by a manifest with metadata.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.ui.browser import DESKTOP, FLAGS, PHONE

_IN_VIEW = """[...document.images].every((image) => {
  const box = image.getBoundingClientRect();
  return box.bottom < 0 || box.top > innerHeight || image.complete;
})"""


def main() -> None:
    """Writes ui-*.png, desktop light, desktop dark and phone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("out", type=Path)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver, tempfile.TemporaryDirectory() as profiles:
        for number, (suffix, viewport, dark) in enumerate(
            (("", DESKTOP, False), ("-dark", DESKTOP, True), ("-phone", PHONE, False))
        ):
            context = driver.chromium.launch_persistent_context(
                Path(profiles) / str(number),
                executable_path=chosen.chromium,
                args=list(FLAGS),
                base_url=chosen.url,
                viewport=viewport,  # type: ignore[arg-type]
                color_scheme="dark" if dark else "light",
            )
            _take(context.new_page(), chosen.out, suffix)
            context.close()


def _take(page: Any, out: Path, suffix: str) -> None:
    def shot(name: str) -> None:
        page.wait_for_load_state("networkidle")
        for _ in range(100):
            if page.evaluate(_IN_VIEW):
                break
            page.wait_for_timeout(100)
        path = out / f"ui-{name}{suffix}.png"
        # A caret that Playwright hides is a style of its own, which the pages forbid.
        page.screenshot(path=path, caret="initial")
        with Image.open(path) as picture:
            colours = picture.convert("RGB").quantize(192, dither=Image.Dither.NONE)
        colours.save(path, optimize=True)

    page.goto("/")
    shot("start")
    page.fill("#q", "an ambulance")
    page.keyboard.press("Enter")
    page.wait_for_selector(".card")
    page.locator(".picture").first.focus()
    for key in "yyynyys":
        page.keyboard.press(key)
    page.wait_for_selector(".card:nth-child(7) .verdict:not([data-verdict=''])")
    page.evaluate("scrollTo(0, 0)")
    shot("judge")
    page.keyboard.press("a")
    page.wait_for_selector(".chip:nth-child(3)")
    if not suffix.endswith("phone"):
        page.locator("summary", has_text="Filter").click()
        page.wait_for_selector(".facet")
    page.evaluate("document.activeElement.blur()")
    shot("again")
    page.locator(".picture").nth(1).click()
    page.wait_for_selector("#photo")
    shot("photo")
    page.locator("#why-these").click()
    page.wait_for_selector("#windows")
    page.locator("#windows a").first.click()
    page.evaluate("document.activeElement.blur()")
    shot("selection")
    for path, name in (("/sets", "sets"), ("/ingest", "ingest"), ("/status", "status")):
        page.goto(path)
        shot(name)
        if name == "sets":
            page.locator("td a").first.click()
            page.wait_for_selector("#export")
            shot("set")


if __name__ == "__main__":
    main()
