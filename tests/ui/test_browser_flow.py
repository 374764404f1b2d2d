"""From a search to an export, in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.ui.browser import DESKTOP, PHONE, Tab, browsing
from tests.ui.conftest import RunningPage, crop_bytes


@pytest.mark.parametrize(
    ("viewport", "dark"), [(DESKTOP, False), (PHONE, True)], ids=["desktop-light", "phone-dark"]
)
def test_search_drag_judge_search_again_export(
    page: RunningPage, tmp_path: Path, viewport: dict[str, int], dark: bool
) -> None:
    with browsing(page.address, tmp_path, viewport=viewport, dark=dark) as tab:
        search_for_words(tab)
        drag_a_box(tab)
        judge_by_keys(tab)
        search_again(tab)
        export(tab)
        assert tab.complaints == []


def search_for_words(tab: Tab) -> None:
    tab.page.goto("/")
    tab.page.keyboard.type("a red bus")  # the field has the focus
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_selector(".card")
    tab.page.wait_for_url("**/?t=text%3Aa+red+bus&w=1")
    assert "hits" in tab.page.locator("#live").text_content()


def drag_a_box(tab: Tab) -> None:
    tab.page.locator(".picture").first.click()
    tab.page.wait_for_selector("#photo img")
    tab.settled()
    bounds = tab.page.locator("#photo svg").bounding_box()
    scale = bounds["width"] / 640
    tab.page.mouse.move(bounds["x"] + 200 * scale, bounds["y"] + 100 * scale)
    tab.page.mouse.down()
    tab.page.mouse.move(bounds["x"] + 260 * scale, bounds["y"] + 150 * scale)
    tab.page.mouse.move(bounds["x"] + 320 * scale, bounds["y"] + 210 * scale)
    tab.page.mouse.up()
    box = [int(tab.page.input_value(f"#region [name={n}]")) for n in ("x", "y", "width", "height")]
    assert box == pytest.approx([200, 100, 120, 110], abs=4)
    tab.page.keyboard.press("Enter")  # the button has the focus now
    tab.page.wait_for_selector(".card")
    assert re.search(r"t=photo%3A\d+%2C\d+%2C\d+%2C\d+%40drive-", tab.page.url)


def judge_by_keys(tab: Tab) -> None:
    tab.page.locator(".picture").first.focus()
    for number, key in enumerate("yyns", 1):
        tab.page.keyboard.press(key)
        tab.page.wait_for_selector(f".card:nth-child({number}) .verdict:not([data-verdict=''])")
    tab.page.keyboard.press("x")
    tab.page.keyboard.press("ArrowRight")
    tab.page.keyboard.press("x")
    tab.page.locator("#all-no").click()
    tab.page.wait_for_selector(".card:nth-child(6) .verdict[data-verdict=no]")
    assert marks(tab)[:6] == ["yes", "yes", "no", "skip", "no", "no"]
    tab.page.keyboard.press("u")
    tab.page.wait_for_selector(".card:nth-child(6) .verdict[data-verdict='']", state="attached")
    assert marks(tab)[:6] == ["yes", "yes", "no", "skip", "", ""]
    assert "67 %" in tab.page.locator("#judge-bar").text_content()


def search_again(tab: Tab) -> None:
    before = ids(tab)
    tab.page.keyboard.press("a")
    tab.page.wait_for_selector(".chip:nth-child(4)")
    assert tab.page.locator(".chip.away").count() == 1
    assert not set(before[:4]) & set(ids(tab))
    tab.page.go_back()
    tab.page.wait_for_selector(".chip")
    assert tab.page.locator(".chip").count() == 1


def export(tab: Tab) -> None:
    tab.page.goto("/sets")
    tab.page.locator("td a").first.click()
    with tab.page.expect_download() as download:
        tab.page.locator("#export-coco").click()
    document = json.loads(Path(download.value.path()).read_text())
    assert len(document["annotations"]) == 2
    tab.page.locator("#export-crops").click()
    tab.page.wait_for_url("**/exports/1")
    with tab.page.expect_download() as download:
        tab.page.locator("#fetch").click()
    assert download.value.suggested_filename.endswith("-crops.zip")


@pytest.mark.long
def test_bars_and_places_lead_to_hits(page: RunningPage, tmp_path: Path) -> None:
    with browsing(page.address, tmp_path, viewport=PHONE, dark=True) as tab:
        tab.page.goto("/?t=text:bus")
        place = tab.page.locator(".map a[href^='#']").first
        place.focus()
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_function("document.querySelector('.card:target') !== null")
        tab.page.locator(".timeline a").first.focus()
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_url("**filter=2024-05-01T10**")
        assert {name.rpartition("/")[2] for name in names(tab)} == {"000.jpg"}
        tab.page.locator("#all-times").click()
        tab.page.wait_for_selector("#all-times", state="detached")
        tab.page.select_option("#range-low", index=2)
        tab.page.locator("#range-go").click()
        tab.page.wait_for_selector("#all-times")
        assert "000.jpg" not in "".join(names(tab))
        assert tab.complaints == []


def test_a_crop_is_pasted_and_chips_are_edited(page: RunningPage, tmp_path: Path) -> None:
    crop = tmp_path / "crop.png"
    crop.write_bytes(crop_bytes(3))
    with browsing(page.address, tmp_path) as tab:
        tab.page.goto("/?t=text:bus")
        tab.page.set_input_files("#picture", crop)
        tab.page.wait_for_selector(".chip:nth-child(2)")
        paste(tab, crop_bytes(4))
        tab.page.wait_for_selector(".chip:nth-child(3)")
        tab.page.fill("#w0", "-0.5")
        tab.page.keyboard.press("Tab")
        tab.page.wait_for_selector(".chip.away")
        assert "w=-0.5" in tab.page.url
        tab.page.locator("#drop0").click()
        tab.page.wait_for_selector(".chip:nth-child(3)", state="detached")
        tab.page.locator("summary", has_text="Filter").click()
        tab.page.locator(".facet a", has_text="snow").click()
        tab.page.wait_for_url("**filter=weather*")
        assert tab.complaints == []


def test_quick_fingers_lose_nothing(page: RunningPage, tmp_path: Path) -> None:
    with browsing(page.address, tmp_path) as tab:
        tab.page.goto("/?t=text:bus")
        tab.page.locator(".picture").first.focus()
        for key in "ynynyynn":
            tab.page.keyboard.press(key)
        tab.page.wait_for_selector(".card:nth-child(8) .verdict[data-verdict=no]")
        assert marks(tab)[:9] == ["yes", "no", "yes", "no", "yes", "yes", "no", "no", ""]
        tab.settled()
        assert "4 yes, 4 no" in tab.page.locator("#open-set").text_content()
        tab.page.goto("/sets")
        assert tab.page.locator("tbody tr").count() == 1


@pytest.mark.long
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_selection_of_a_photo_by_keyboard(
    page: RunningPage, tmp_path: Path, viewport: dict[str, int]
) -> None:
    with browsing(page.address, tmp_path, viewport=viewport) as tab:
        tab.page.goto("/photo?id=drive-0/001.jpg")
        tab.page.locator("#why-these").focus()
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_selector("#windows")
        tab.settled()
        assert tab.page.url.endswith("/photo?id=drive-0/001.jpg")
        assert tab.page.evaluate("document.activeElement.id") == "selection-title"
        maps = tab.page.locator(".m-1")
        assert maps.first.is_visible() and tab.page.locator(".b-1").count() == 5
        tab.page.locator("#map-1").focus()
        tab.page.keyboard.press("Space")
        assert not maps.first.is_visible()
        tab.page.locator("#show-windows").focus()
        tab.page.select_option("#show-windows", "outscored")
        tab.page.wait_for_selector("#windows td:has-text('in common with')")
        assert tab.page.evaluate("document.activeElement.id") == "show-windows"
        tab.page.locator("#windows a").first.focus()
        tab.page.keyboard.press("Enter")
        assert tab.page.locator("#w1 .s-this").is_visible()
        assert tab.page.locator("#w1 .s-rival").is_visible()
        assert not tab.page.locator("#w2").is_visible()
        assert tab.complaints == []


def paste(tab: Tab, content: bytes) -> None:
    tab.page.evaluate(
        """(bytes) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], "p.png", { type: "image/png" }));
          const init = { clipboardData: data, bubbles: true };
          document.dispatchEvent(new ClipboardEvent("paste", init));
        }""",
        list(content),
    )


def marks(tab: Tab) -> list[str]:
    found: list[str] = tab.page.eval_on_selector_all(
        ".card .verdict", "all => all.map(one => one.dataset.verdict)"
    )
    return found


def names(tab: Tab) -> list[str]:
    found: list[str] = tab.page.locator(".card .name").all_text_contents()
    return found


def ids(tab: Tab) -> list[str]:
    found: list[str] = tab.page.eval_on_selector_all(".card", "all => all.map(one => one.id)")
    return found
