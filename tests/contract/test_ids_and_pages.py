"""Images under any id; listings in the order of the ids' bytes, page by page."""

from __future__ import annotations

import pytest

from patchsearch.geometry import Box
from patchsearch.v1 import search_service_pb2 as pb
from tests.contract.cluster import refused
from tests.contract.doors import CALL_TIMEOUT_S, Door, RouterDoor
from tests.contract.fake_encoder import photo, vector_of

WEIRD = [
    "/",
    "../../etc/passwd",
    "a b\tc",
    "line\nbreak\r\n",
    "nul\x00inside",
    "\uff61 half-width",
    "\U0001f691 ambulance",
    "é composed",
    "e\u0301 decomposed",
    "%2F",
    "x" * 511,
    "ü" * 255 + "x",
    "'; drop table images; --",
    "\u202eright to left",
]
BOX = Box(0, 0, 50, 50)


def test_any_id_can_be_stored_found_read_and_deleted(empty: Door) -> None:
    for seed, name in enumerate(WEIRD):
        empty.put(name, [(BOX, seed)])
    in_order = sorted(WEIRD, key=str.encode)
    assert empty.ids() == in_order
    for seed, name in enumerate(WEIRD):
        assert empty.boxes(name) == [BOX]
        assert empty.search(vector_of(seed), 1)[0].image_id == name
    assert empty.delete(*WEIRD) == WEIRD
    assert empty.ids() == []


@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 14, 15, 1000])
def test_pages_of_any_size_hold_every_id_once(empty: Door, page_size: int) -> None:
    for name in WEIRD:
        empty.put(name, [(BOX, 1)])
    assert empty.ids(page_size=page_size) == sorted(WEIRD, key=str.encode)


def test_a_prefix_narrows_the_listing(empty: Door) -> None:
    names = ["cam0/1", "cam0/2", "cam1/1", "cam", "cam0", "é", "\U0001f691"]
    for name in names:
        empty.put(name, [(BOX, 1)])
    assert empty.ids("cam0") == ["cam0", "cam0/1", "cam0/2"]
    assert empty.ids("cam0", page_size=1) == ["cam0", "cam0/1", "cam0/2"]
    assert empty.ids("\U0001f691") == ["\U0001f691"]
    assert empty.ids("none") == []


def test_images_may_come_and_go_between_pages(router: RouterDoor) -> None:
    for name in "bdfhj":
        router.put(name, [(BOX, 1)])
    first = router.stub.ListImages(pb.ListImagesRequest(page_size=2), timeout=CALL_TIMEOUT_S)
    assert [i.image_id for i in first.images] == ["b", "d"]
    router.put("c", [(BOX, 1)])
    router.put("e", [(BOX, 1)])
    router.delete("d", "f")
    request = pb.ListImagesRequest(page_size=10, page_token=first.next_page_token)
    second = router.stub.ListImages(request, timeout=CALL_TIMEOUT_S)
    assert [i.image_id for i in second.images] == ["e", "h", "j"]
    assert not second.next_page_token


def test_what_was_sent_with_an_image_comes_back(router: RouterDoor) -> None:
    request = pb.IngestImagesRequest(
        image_id="a",
        content=photo([(Box(5, 6, 70, 80), 1), (Box(1, 2, 30, 40), 2)], 640, 480),
        uri="file:///a.jpg",
    )
    request.metadata.update({"camera": "front", "tags": ["night", None, 1.5], "é": {"x": True}})
    (stored,) = router.stub.IngestImages(iter([request]), timeout=CALL_TIMEOUT_S)
    assert stored.outcome == pb.INGEST_OUTCOME_STORED
    got = router.stub.GetImage(
        pb.GetImageRequest(image_id="a", include_vectors=True), timeout=CALL_TIMEOUT_S
    )
    image = got.image
    assert (image.uri, image.width, image.height) == ("file:///a.jpg", 640, 480)
    assert image.metadata == request.metadata
    assert image.patch_count == 2
    assert image.update_time.seconds > 1_700_000_000
    assert [p.box.x for p in got.patches] == [1, 5]
    assert [p.level for p in got.patches] == [1, 1]
    assert got.vectors.rows == 2
    (hit,) = router.stub.Search(
        pb.SearchRequest(
            terms=[{"patch": {"image_id": "a", "box": {"x": 1, "y": 2, "w": 30, "h": 40}}}], k=1
        ),
        timeout=CALL_TIMEOUT_S,
    ).hits
    assert (hit.uri, hit.image_width, hit.image_height) == ("file:///a.jpg", 640, 480)
    assert hit.metadata == request.metadata
    assert hit.score == pytest.approx(1, abs=1e-3)
    (listed,) = router.stub.ListImages(pb.ListImagesRequest(), timeout=CALL_TIMEOUT_S).images
    assert listed == image


def test_an_image_that_is_not_stored_is_not_found(router: RouterDoor) -> None:
    error = refused(router.stub.GetImage, pb.GetImageRequest(image_id="nowhere"))
    assert (error.code, error.reason) == ("NOT_FOUND", "IMAGE_NOT_FOUND")


@pytest.mark.parametrize("image_id", ["", "x" * 512, "ü" * 256])
def test_ids_outside_the_limits_are_refused(router: RouterDoor, image_id: str) -> None:
    stub = router.stub
    for error in (
        refused(stub.GetImage, pb.GetImageRequest(image_id=image_id)),
        refused(stub.DeleteImages, pb.DeleteImagesRequest(image_ids=["good", image_id])),
    ):
        assert (error.code, error.reason) == ("INVALID_ARGUMENT", "IMAGE_ID_INVALID")
        assert "511" in error.message


def test_batches_and_pages_have_limits(router: RouterDoor) -> None:
    stub = router.stub
    for ids in ([], ["x"] * 1001):
        error = refused(stub.DeleteImages, pb.DeleteImagesRequest(image_ids=ids))
        assert (error.code, error.reason) == ("INVALID_ARGUMENT", "BATCH_OUT_OF_RANGE")
    error = refused(stub.ListImages, pb.ListImagesRequest(page_size=1001))
    assert (error.code, error.reason) == ("INVALID_ARGUMENT", "PAGE_SIZE_OUT_OF_RANGE")
    error = refused(stub.ListImages, pb.ListImagesRequest(page_token="made up"))
    assert (error.code, error.reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")
