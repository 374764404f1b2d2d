"""The timeline and the map: what they are made of, and that they lead where they say."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import parse_qs

import pytest

from patchsearch.errors import InvalidArgument
from patchsearch.geometry import Box
from patchsearch.results import Hit
from tests.ui.conftest import RunningPage
from tests.ui.test_ui_search import ERROR, hits_of
from ui.hit_map import HitMap, map_of
from ui.query_url import DeskQuery
from ui.settings import make_settings
from ui.timeline import Timeline, timeline_of

DEFAULTS = make_settings()


def hits_with(*metadata: dict[str, Any]) -> list[Hit]:
    box = Box(0, 0, 9, 9)
    return [
        Hit(f"{number}.jpg", box, 0.5, "exact", 1, "", 99, 99, one, ())
        for number, one in enumerate(metadata)
    ]


def timeline(*metadata: dict[str, Any], query: DeskQuery | None = None) -> Timeline | None:
    return timeline_of(hits_with(*metadata), query or DeskQuery(), DEFAULTS.time_fields)


def places(*metadata: dict[str, Any]) -> HitMap | None:
    return map_of(hits_with(*metadata), DEFAULTS.position_pairs)


def test_nothing_is_drawn_where_no_metadata_tells_time_or_place() -> None:
    for metadata in (
        {},
        {"time": "soon", "lat": 1},
        {"time": True, "lat": 91, "lon": 0},
        {"time": float("nan"), "lat": "x", "lon": 1},
        {"time": 1.7e308, "timestamp": -1.7e308},
        {"timestamps": 5, "lat": None, "lon": None},
        {"time": "2024-13-01T00:00:00Z", "lat": 1, "gps": {"lon": 2}},
    ):
        assert timeline(metadata) is None and places(metadata) is None, metadata


@pytest.mark.parametrize(
    ("times", "first", "condition"),
    [
        (
            ["2024-05-01T10:00:00Z", "2024-05-01T12:30:00+02:00", "2024-05-01T10:59:59.5Z"],
            "2024-05-01 10:00",
            "2024-05-01T10:00:00Z <= a.time < 2024-05-01T10:05:00Z",
        ),
        ([1714557600, 1714557600.5, 1714564800], "2024-05-01 10:00", "1714557600 <= a.time < 1"),
        ([1714557600000, 1714564800000], "2024-05-01 10:00", "1714557600000 <= a.time < 1"),
        ([0.3, 0.1, 0.2, 2.4], "0.1", "0.1 <= a.time < 0.2"),
        ([7], "7", "7 <= a.time < 8"),
        ([-3, 1e15], "-5e+13", "-50000000000000 <= a.time < 0"),
        ([0, 1e-322], "0", "0 <= a.time < "),
    ],
)
def test_times_make_bars_that_lead_to_their_hits(
    times: list[Any], first: str, condition: str
) -> None:
    line = timeline(*({"a": {"time": time}} for time in times))
    assert line is not None and line.field == "a.time" and len(line.edges) <= 26
    assert sum(bar.hits for bar in line.bars) == line.hits == len(times)
    assert line.first.startswith(first)
    assert parse_qs(line.bars[0].url.removeprefix("/?"))["filter"][0].startswith(condition)


def test_times_that_no_filter_compares_are_drawn_without_links() -> None:
    line = timeline({"date": "2024-05-01"}, {"date": "2024-05-03"}, {"date": 5})
    assert line is not None and line.hits == 2
    assert line.edges == [] and {bar.url for bar in line.bars} == {""}


def test_the_field_that_most_hits_have_is_taken_whatever_its_case() -> None:
    line = timeline({"time": 1}, {"Timestamp": 1}, {"Timestamp": 2})
    assert line is not None and line.field == "Timestamp"
    found = places({"lat": 1, "lon": 2}, {"GPS": {"Latitude": "48.1", "Longitude": "11.5"}})
    assert found is not None and found.hits == 1


def test_a_bar_takes_the_place_of_an_earlier_range() -> None:
    query = DeskQuery(filter='weather = "snow" and 0 <= time < 50')
    line = timeline({"time": 1}, {"time": 40}, query=query)
    assert line is not None
    assert line.bars[0].url.count("time") == 1 and "snow" in line.bars[0].url
    assert line.widened == "/?filter=weather+%3D+%22snow%22"


def test_a_map_keeps_shapes_and_tells_its_scale() -> None:
    # About 71.5 km east and 111.3 km north, at 50 degrees.
    found = places({"lat": 50, "lon": 8}, {"lat": 50, "lon": 9}, {"lat": 51, "lon": 8})
    assert found is not None
    a, b, c = found.places
    assert (b.x - a.x) / (a.y - c.y) == pytest.approx(0.64, abs=0.01)
    kilometres = float(found.bar_text.removesuffix(" km"))
    assert kilometres / found.bar_length == pytest.approx(111.32 / (a.y - c.y), rel=0.02)
    assert 3 <= len(found.parallels) <= 6 and {"50.0°"} <= {p.text for p in found.parallels}


def test_a_map_holds_the_date_line_the_poles_and_a_single_place() -> None:
    found = places(
        {"lat": -17, "lon": 179.9}, {"lat": -17, "lon": -179.9}, {"lat": -17, "lon": 180}
    )
    assert found is not None and found.bar_text.endswith(" km") and float(found.bar_text[:-3]) < 20
    for metadata in ({"lat": 90, "lon": 0}, {"lat": 0, "lng": 0}):
        single = places(metadata)
        assert single is not None and len(single.places) == 1 and single.bar_length > 10
        assert single.parallels and single.meridians


def test_wrong_field_names_are_refused() -> None:
    for given in ({"time_fields": ["a..b"]}, {"position_fields": ["lat"]}):
        with pytest.raises(InvalidArgument, match="fields"):
            make_settings(**given)


def test_the_page_draws_both_and_a_bar_narrows_the_search(page: RunningPage) -> None:
    text = page.get("/", t="text:bus").text
    assert 'class="plot timeline"' in text and 'class="plot map"' in text
    bars = re.findall(r'<a href="(/\?[^"]+)" aria-label="(\d+) hit', text)
    assert sum(int(number) for _, number in bars) == 100
    url, number = bars[0]
    narrowed = page.client.get(html.unescape(url)).text
    inside = {place.rpartition("@")[2] for place in hits_of(narrowed)}
    assert inside and inside < {f"drive-{n // 4}/{n:03d}.jpg" for n in range(12)}
    assert int(number) <= 24 * len(inside) and 'id="all-times"' in narrowed
    anchors = re.findall(r'<a href="#(p[0-9a-f]{16})"', text)
    assert anchors and all(f'id="{anchor}"' in text for anchor in anchors)
    assert re.search(r'<a href="/photo\?id=drive', text)


def test_any_stretch_can_be_asked_for(page: RunningPage) -> None:
    low, high = "2024-05-01T10:00:00Z", "2024-05-01T12:00:00Z"
    answer = page.get("/range", t="text:bus", field="time", low=low, high=high)
    assert answer.url.params["filter"] == f"{low} <= time < {high}"
    assert {place.rpartition("/")[2] for place in hits_of(answer.text)} == {"000.jpg", "001.jpg"}
    for bounds in (("5", "4"), ("a", "b"), (high, low), ("1", high), ("nan", "nan")):
        refused = page.get("/range", t="text:bus", field="time", low=bounds[0], high=bounds[1])
        assert ERROR.findall(refused.text) == ["RANGE_INVALID"], bounds
    assert page.get("/range", t="text:bus", field="", low="1", high="2").status_code == 400
