"""Every format gives back the boxes that were put in, whatever ids and labels hold."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchsearch import Box, errors
from patchsearch.exports import SetItem, Verdict, with_verdict
from patchsearch.exports.coco import read_coco, write_coco
from patchsearch.exports.csv_table import read_csv, write_csv
from patchsearch.exports.cvat import read_cvat, write_cvat
from patchsearch.exports.items import by_image
from patchsearch.exports.label_studio import read_label_studio, write_label_studio
from patchsearch.exports.yolo import read_yolo, write_yolo, write_yolo_folder

Writer = Callable[[list[SetItem], object], object]
FORMATS = {
    "coco": (write_coco, read_coco),
    "csv": (write_csv, read_csv),
    "cvat": (write_cvat, read_cvat),
    "label-studio": (write_label_studio, read_label_studio),
    "yolo": (write_yolo, read_yolo),
}


def image_by_image(items: list[SetItem]) -> list[SetItem]:
    return [item for group in by_image(items).values() for item in group]


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_written_is_read(name: str, items: list[SetItem], tmp_path: Path) -> None:
    write, read = FORMATS[name]
    write(items, tmp_path / "set")
    found = read(tmp_path / "set")
    if name == "cvat":  # which has no place for metadata
        items = [dataclasses.replace(item, metadata={}) for item in items]
    assert found == image_by_image(items)


@pytest.mark.parametrize("name", FORMATS)
def test_a_stream_takes_the_same_bytes_as_a_file(
    name: str, items: list[SetItem], tmp_path: Path
) -> None:
    write, read = FORMATS[name]
    stream = io.BytesIO()
    write(items, stream)
    write(items, tmp_path / "set")
    assert not stream.closed
    assert read(io.BytesIO(stream.getvalue())) == read(tmp_path / "set")


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_set_is_a_set(name: str) -> None:
    write, read = FORMATS[name]
    stream = io.BytesIO()
    write([], stream)
    assert read(io.BytesIO(stream.getvalue())) == []


@st.composite
def boxes(draw: st.DrawFn) -> SetItem:
    width, height = draw(st.integers(1, 100_000)), draw(st.integers(1, 100_000))
    x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    w, h = draw(st.integers(1, width - x)), draw(st.integers(1, height - y))
    return SetItem("a.jpg", "", width, height, Box(x, y, w, h), draw(st.floats(-1, 1)))


@given(boxes())
def test_relative_formats_come_back_to_the_pixel(item: SetItem) -> None:
    for write, read in FORMATS.values():
        stream = io.BytesIO()
        write([item], stream)
        assert read(io.BytesIO(stream.getvalue())) == [item]


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_of_something_else_is_refused(name: str, tmp_path: Path) -> None:
    _, read = FORMATS[name]
    for content in (b"\x89PNG", b"[1, 2]", b"{}", b"<!DOCTYPE a><a/>", b'x,y\n"1",2\n'):
        with pytest.raises(errors.InvalidArgument) as refused:
            read(io.BytesIO(content))
        assert refused.value.reason == "EXPORT_INVALID"
    with pytest.raises(errors.InvalidArgument) as refused:
        read(tmp_path / "missing")
    assert refused.value.reason == "FILE_UNREADABLE"


@pytest.mark.parametrize("name", FORMATS)
def test_what_no_tool_could_use_is_not_written(name: str, tmp_path: Path) -> None:
    write, _ = FORMATS[name]
    target = tmp_path / "set"
    for item, reason in (
        (SetItem("a", "", 10, 10, Box(5, 5, 6, 1)), "BOX_OUTSIDE_IMAGE"),
        (SetItem("a", "", 0, 0, Box(0, 0, 0, 0)), "BOX_OUTSIDE_IMAGE"),
        (SetItem("a", "", 10, 10, Box(0, 0, 1, 1), label=" "), "LABEL_EMPTY"),
    ):
        with pytest.raises(errors.InvalidArgument) as refused:
            write([item], target)
        assert refused.value.reason == reason
    with pytest.raises(errors.InvalidArgument) as refused:
        write([], tmp_path / "no folder" / "set")
    assert refused.value.reason == "FILE_UNWRITABLE"
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_the_old_file(photos: list[SetItem], tmp_path: Path) -> None:
    target = tmp_path / "set.zip"
    target.write_bytes(b"the old one")

    def broken(uri: str) -> bytes:
        raise errors.NotFound("PHOTO_MISSING", "gone")

    with pytest.raises(errors.NotFound):
        write_yolo(photos, target, read_photo=broken)
    assert target.read_bytes() == b"the old one"
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_archives_hold_no_path_that_leads_out(items: list[SetItem]) -> None:
    stream = io.BytesIO()
    write_yolo(items, stream)
    with zipfile.ZipFile(stream) as archive:
        names = archive.namelist()
    assert len({name.lower() for name in names}) == len(names)
    for name in names:
        assert name.isascii() and not name.startswith("/") and "\\" not in name
        assert ".." not in name.split("/")


def test_a_folder_holds_what_the_zip_holds(photos: list[SetItem], tmp_path: Path) -> None:
    stream, told = io.BytesIO(), []
    write_yolo(
        photos,
        stream,
        read_photo=lambda uri: Path(uri).read_bytes(),
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(1, 2), (2, 2)]
    folder = tmp_path / "yolo"
    write_yolo_folder(photos, folder, read_photo=lambda uri: Path(uri).read_bytes())
    with zipfile.ZipFile(stream) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
    assert (folder / "images/0.png").read_bytes() == Path(photos[0].uri).read_bytes()
    with pytest.raises(errors.InvalidArgument) as refused:
        write_yolo_folder(photos, folder)
    assert refused.value.reason == "FOLDER_NOT_EMPTY"


def test_items_are_chosen_by_verdict(items: list[SetItem]) -> None:
    chosen = with_verdict(items, {Verdict.YES})
    assert 0 < len(chosen) < len(items)
    assert {item.verdict for item in chosen} == {Verdict.YES}
