"""A real browser for tests: Debian's Chromium driven by Playwright; tests skip without it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
AXE = Path(__file__).parents[2] / ".cache/axe/node_modules/axe-core/axe.min.js"
"""Where `make test-ui` puts axe-core."""


def chromium() -> str:
    """The browser's path; skips the test where browser or driver is not installed."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium here: apt-get install chromium, or set CHROMIUM to its path")
    return found


class Tab:
    """A page of the browser that notes what must not happen."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))
        page.on("dialog", self._on_dialog)

    def settled(self) -> None:
        """Waits until requests and the pictures in view are done."""
        self.page.wait_for_load_state("networkidle")

    def _on_console(self, message: Any) -> None:
        if message.type == "error" or "Content Security Policy" in message.text:
            self.complaints.append(f"console: {message.text}")

    def _on_dialog(self, dialog: Any) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()


@contextmanager
def browsing(
    address: str,
    folder: Path,
    *,
    viewport: dict[str, int] | None = None,
    dark: bool = False,
    bypass_csp: bool = False,
) -> Iterator[Tab]:
    """A tab of a fresh browser that knows the address."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            folder / "profile",
            executable_path=path,
            headless=True,
            args=list(FLAGS),
            base_url=address,
            viewport=viewport or DESKTOP,  # type: ignore[arg-type]
            color_scheme="dark" if dark else "light",
            bypass_csp=bypass_csp,
            accept_downloads=True,
        )
        context.set_default_timeout(20_000)
        try:
            yield Tab(context.new_page())
        finally:
            context.close()
