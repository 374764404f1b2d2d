"""Sets: kept, opened again, compared, merged, exported."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path

import pytest

from patchsearch.errors import InvalidArgument, NotFound
from patchsearch.exports.coco import read_coco
from patchsearch.exports.csv_table import read_csv
from patchsearch.exports.items import SetItem, Verdict
from patchsearch.geometry import Box
from tests.ui.conftest import RunningPage, serving_page
from ui.sets import SetStore

FOUND = re.compile(r'name="one" value="yes\|([^"]+)"')


def item(number: int, verdict: Verdict) -> SetItem:
    box = Box(number, 0, 10, 10)
    return SetItem("a.jpg", "a.jpg", 100, 100, box, 0.5, verdict=verdict, metadata={"n": [1, None]})


@pytest.fixture
def store(tmp_path: Path) -> SetStore:
    return SetStore(tmp_path / "sets.sqlite")


def test_what_was_judged_is_there_after_a_restart(store: SetStore, tmp_path: Path) -> None:
    set_id = store.create("ambulance")
    store.judge(set_id, [item(0, Verdict.YES), item(1, Verdict.NO)], found_by="t=text%3Aa")
    store.judge(set_id, [item(2, Verdict.SKIP)])
    store.close()
    again = SetStore(tmp_path / "sets.sqlite")
    assert again.items(set_id) == [
        item(0, Verdict.YES),
        item(1, Verdict.NO),
        item(2, Verdict.SKIP),
    ]
    summary = again.get(set_id)
    assert (summary.yes, summary.no, summary.skipped, summary.precision) == (1, 1, 1, 0.5)
    assert [(r.found_by, r.yes, r.no) for r in again.rounds(set_id)] == [("t=text%3Aa", 1, 1)]
    again.close()


def test_undo_takes_steps_back_one_by_one(store: SetStore) -> None:
    set_id = store.create("x")
    states = [store.items(set_id)]
    for step in (
        [item(0, Verdict.YES), item(1, Verdict.YES)],
        [item(0, Verdict.NO)],
        [item(1, Verdict.UNJUDGED), item(2, Verdict.YES)],
    ):
        store.judge(set_id, step)
        states.append(sorted(store.items(set_id), key=lambda i: i.box))
    for expected in reversed(states[:-1]):
        store.undo(set_id)
        assert sorted(store.items(set_id), key=lambda i: i.box) == expected
    assert store.undo(set_id) == []
    store.close()


def test_names_are_unique_and_readable(store: SetStore) -> None:
    one, other = store.create("  a \n b "), store.create("a b")
    assert [s.name for s in store.all()] == ["a b (2)", "a b"]
    with pytest.raises(InvalidArgument, match="another set"):
        store.rename(other, "a b")
    for name in ("", "   ", "x" * 121, "\x07"):
        with pytest.raises(InvalidArgument, match="printable"):
            store.create(name)
    store.delete(one)
    with pytest.raises(NotFound):
        store.items(one)
    store.close()


def test_merging_adds_what_is_missing(store: SetStore) -> None:
    a, b = store.create("a"), store.create("b")
    store.judge(a, [item(0, Verdict.YES), item(1, Verdict.NO)])
    store.judge(b, [item(1, Verdict.YES), item(2, Verdict.YES)])
    assert store.merge(b, a) == 1
    assert store.items(a) == [item(0, Verdict.YES), item(1, Verdict.NO), item(2, Verdict.YES)]
    store.close()


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sets.sqlite").write_bytes(b"no database, whatever it is called" * 50)
    with pytest.raises(InvalidArgument, match="cannot keep sets"):
        SetStore(tmp_path / "sets.sqlite")


def judged_set(page: RunningPage, name: str, yes: slice, no: slice) -> None:
    hits = FOUND.findall(page.get("/", t="text:bus").text)
    page.post("/sets", {"do": "create", "name": name})
    for verdict, chosen in (("yes", hits[yes]), ("no", hits[no])):
        form = {"query": "t=text:bus", "all": verdict, "hit": chosen, "back": "/sets"}
        page.post("/hits", form)  # type: ignore[arg-type]


def test_sets_are_compared_and_merged(page: RunningPage) -> None:
    judged_set(page, "one", slice(0, 4), slice(4, 6))
    page.post("/sets", {"do": "close"})
    judged_set(page, "two", slice(2, 5), slice(0, 1))
    text = page.get("/sets/compare", a="1", b="2").text
    counts = [int(n) for n in re.findall(r'class="group">[^<]+<small>(\d+)<', text)]
    assert counts == [2, 1, 0, 2]
    merged = page.post("/sets", {"do": "merge", "set": "1", "from": "2"})
    assert merged.url.path == "/sets/1"
    renamed = page.post("/sets", {"do": "rename", "set": "1", "name": "three"})
    assert "<h1>three</h1>" in renamed.text
    gone = page.post("/sets", {"do": "delete", "set": "2"})
    assert "two" not in gone.text and page.get("/sets/2").status_code == 404


def test_exports_read_back(page: RunningPage) -> None:
    judged_set(page, "bus", slice(0, 3), slice(3, 5))
    both = {"verdicts": ["yes", "no"], "label": "city bus"}
    coco = page.client.get("/sets/1/export/coco", params=both)
    assert coco.headers["content-disposition"].startswith('attachment; filename="bus-coco.json"')
    items = read_coco(io.BytesIO(coco.content))
    assert sorted(i.verdict.value for i in items) == ["no", "no", "yes", "yes", "yes"]
    assert {i.label for i in items} == {"city bus"} and {i.width for i in items} == {640}
    table = read_csv(io.BytesIO(page.client.get("/sets/1/export/csv", params=both).content))
    assert {(i.image_id, i.box) for i in table} == {(i.image_id, i.box) for i in items}
    assert len(json.loads(page.get("/sets/1/export/coco").content)["annotations"]) == 3


def test_every_format_is_offered_and_works(page: RunningPage) -> None:
    judged_set(page, "bus", slice(0, 3), slice(0, 0))
    formats = re.findall(r'formaction="(/sets/1/export/[a-z-]+)"', page.get("/sets/1").text)
    assert len(formats) >= 6
    for path in formats:
        answer = page.client.get(path)
        assert answer.status_code == 200 and answer.content, path
    with zipfile.ZipFile(io.BytesIO(page.get("/sets/1/export/crops").content)) as archive:
        assert len([name for name in archive.namelist() if name.endswith(".png")]) == 3
    assert page.get("/sets/1/export/nothing").status_code == 400
    assert page.get("/sets/1/export/csv", verdicts="skip").status_code == 404


def test_crops_are_not_offered_where_photos_cannot_be_read(
    router_address: str, filled: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with serving_page(router_address, tmp_path / "empty", tmp_path / "desk") as page:
        judged_set(page, "bus", slice(0, 2), slice(0, 0))
        picture = page.get("/pictures/patch", at="0,0,100,100@drive-0/000.jpg")
        assert picture.status_code == 403 and "not below a folder" in picture.text
        assert page.get("/sets/1/export/coco").status_code == 200
