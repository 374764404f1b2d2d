"""Hits and results in the hands of their users: pixels, notebooks, frames, COCO."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchsearch import (
    Box,
    Client,
    Coverage,
    Hit,
    Photo,
    PhotoReader,
    SearchResult,
    Timings,
    errors,
)


@pytest.fixture
def found(client: Client, fake, tmp_path: Path) -> SearchResult:
    """Four colours, each half black; photos lie in tmp_path, two with a file:// URI."""
    photos = []
    for number, name in enumerate(fake.COLOURS):
        picture = np.concatenate([fake.picture(name), fake.picture((9, 9, 9))], axis=1)
        path = tmp_path / f"{name} photo.png"
        Image.fromarray(picture).save(path)
        uri = path.as_uri() if number % 2 else str(path)
        photos.append(Photo(f"{name}.png", path, uri=uri, metadata={"name": name}))
    list(client.ingest(photos))
    return client.search("red", k=4)


def test_a_crop_is_the_pixels_of_the_box(found: SearchResult, tmp_path: Path) -> None:
    for hit in found:
        whole = np.asarray(Image.open(tmp_path / f"{hit.metadata['name']} photo.png"))
        box = hit.box
        expected = whole[box.y : box.bottom, box.x : box.right]
        for crop in (
            hit.crop(),
            hit.crop(whole),
            hit.crop(Image.fromarray(whole)),
            hit.crop(read_photo=PhotoReader([tmp_path])),
        ):
            assert np.array_equal(np.asarray(crop), expected)


def test_what_has_no_pixels_says_why(found: SearchResult, tmp_path: Path) -> None:
    def reason(hit: Hit, *photo: object, **options: object) -> str:
        with pytest.raises(errors.PatchsearchError) as refused:
            hit.crop(*photo, **options)
        return refused.value.reason

    hit = found[0]
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff but no more")
    assert reason(dataclasses.replace(hit, uri="")) == "URI_MISSING"
    assert reason(dataclasses.replace(hit, uri="s3://b/a.jpg")) == "URI_UNSUPPORTED"
    assert reason(dataclasses.replace(hit, uri="/gone.jpg")) == "FILE_UNREADABLE"
    assert reason(dataclasses.replace(hit, uri=str(tmp_path / "broken.jpg"))) == "IMAGE_UNDECODABLE"
    assert reason(hit, np.zeros((5, 5, 3), np.uint8)) == "IMAGE_CHANGED"
    assert reason(hit, read_photo=PhotoReader([])) == "PHOTO_NOT_ALLOWED"


def test_a_notebook_shows_hits_and_escapes_what_is_theirs(found: SearchResult) -> None:
    hit = found[0]
    page = hit._repr_html_()
    (data,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    tile = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert tile.shape == (160, 160, 3)
    assert (np.abs(tile.astype(int) - (255, 0, 0)).max(axis=2) < 40).any()
    assert "red.png" in page and f"{hit.score:.3f}" in page
    evil = '"><script>alert(1)</script>'
    lost = dataclasses.replace(hit, image_id=evil, uri=f"/{evil}")
    assert "<script" not in lost._repr_html_()
    assert lost._repr_html_().count("<img") == 1


def test_a_notebook_shows_a_result(found: SearchResult) -> None:
    page = found._repr_html_()
    assert page.count("<img") == 4 and "4 hits" in page and "DEGRADED" not in page
    many = SearchResult(
        hits=found.hits * 10,
        coverage=Coverage(4, 3, 1, 0, 10, 20, degraded=True),
        epoch=1,
        fingerprint="f",
        timings=Timings(0, 0, 0, 12.4),
        candidates_read=9,
        warnings=("<b>cut</b>",),
    )
    page = many._repr_html_()
    assert page.count("<img") == 24 and "and 16 more" in page
    assert "DEGRADED" in page and "3 of 4 partitions" in page
    assert "&lt;b&gt;cut" in page


def test_results_become_coco(found: SearchResult) -> None:
    coco = json.loads(json.dumps(found.to_coco(label="red thing")))
    assert [image["file_name"] for image in coco["images"]] == [hit.image_id for hit in found]
    assert [Box(*a["bbox"]) for a in coco["annotations"]] == [hit.box for hit in found]
    assert coco["categories"] == [{"id": 1, "name": "red thing", "supercategory": ""}]


def test_results_become_a_frame(found: SearchResult) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    frame = found.to_pandas()
    assert frame["image_id"].tolist() == [hit.image_id for hit in found]
    assert frame["score"].tolist() == [hit.score for hit in found]
    assert frame[["x", "y", "w", "h"]].to_numpy().tolist() == found.boxes.tolist()
    assert frame["metadata"].iloc[0] == {"name": "red"}
    assert set(frame["score_kind"]) == {"exact"} and set(frame["level"]) == {1}
    empty = dataclasses.replace(found, hits=()).to_pandas()
    assert list(empty.columns) == list(frame.columns) and len(empty) == 0


def test_a_hit_and_a_result_are_still_values(found: SearchResult) -> None:
    assert found[0] == dataclasses.replace(found[0])
    assert found.to_items()[0].box == found[0].box
