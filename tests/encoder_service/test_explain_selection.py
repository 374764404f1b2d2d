"""ExplainSelection over real gRPC: the same selection as SelectAndEncode, and the reasons."""

from __future__ import annotations

import io

import grpc
import numpy as np
import pytest
from PIL import Image

from patch_selection import SELECTORS, explain_selection, load_saliency, load_selector, quantise
from patchsearch.encoder.v1 import encoder_service_pb2 as pb
from patchsearch.v1 import selection_pb2
from patchsearch.wire.status import error_from_rpc

TIMEOUT_S = 120


@pytest.fixture(scope="module")
def photo(street, encoded) -> bytes:
    return encoded(street)


@pytest.fixture
def stub(serve, fake_model):
    with serve(fake_model(), max_photos=1) as stub:
        yield stub


def explained(stub, image: bytes, **fields) -> selection_pb2.SelectionExplanation:
    request = pb.ExplainSelectionRequest(image=image, **fields)
    return stub.ExplainSelection(request, timeout=TIMEOUT_S).explanation


def places(windows) -> list[tuple]:
    return [(w.box.x, w.box.y, w.box.w, w.box.h, w.level, pytest.approx(w.score)) for w in windows]


def test_the_chosen_windows_are_what_is_encoded(stub, photo):
    for name in ("", *SELECTORS):
        told = explained(stub, photo, selector=name, max_windows=10_000)
        encoded = stub.SelectAndEncode(
            pb.SelectAndEncodeRequest(image=photo, selector=name), timeout=TIMEOUT_S
        )
        chosen = [w for w in told.windows if w.decision == selection_pb2.WINDOW_DECISION_CHOSEN]
        assert places(chosen) == places(encoded.patches)
        assert (told.width, told.height) == (640, 360)
        assert told.selection == encoded.selection
        assert list(told.warnings) == list(encoded.warnings)
        assert sum(one.windows for one in told.counts) == len(told.windows)
        assert told.decode_ms > 0 and told.select_ms > 0


def test_maps_and_limits_of_the_regions(stub, street, photo):
    told = explained(stub, photo, selector="hierarchical-filtered")
    expected = explain_selection(street, load_saliency(), load_selector("hierarchical-filtered"))

    assert [region.level for region in told.regions] == [1] + [2] * (len(told.regions) - 1)
    for region, look in zip(told.regions, expected.looks, strict=True):
        with Image.open(io.BytesIO(region.saliency_png)) as image:
            assert np.array_equal(np.asarray(image), quantise(look.saliency_map))
    first, second = told.regions[:2]
    assert (first.max_patches, second.max_patches) == (5, 6)
    assert (first.min_average, second.min_average) == pytest.approx((0.05, 0.3))
    assert explained(stub, photo, selector="baseline-unfiltered").regions[0].saliency_png == b""


def test_a_large_map_is_made_smaller():
    from encoder_service.explaining import ExplainedPhoto
    from encoder_service.explanation_message import explanation_message

    class Fine:
        name = "fine"

        def predict(self, images):
            return [np.tile(np.linspace(0, 1, 1200, dtype=np.float32), (700, 1)) for _ in images]

    picture = np.zeros((350, 600, 3), np.uint8)
    explanation = explain_selection(picture, Fine(), load_selector("multisize-filtered"), 10)
    told = explanation_message(ExplainedPhoto(600, 350, "x/fine", explanation, 1.0, 1.0))
    with Image.open(io.BytesIO(told.regions[0].saliency_png)) as image:
        assert image.size == (512, 299)


def test_windows_are_limited(stub, photo):
    few = explained(stub, photo, max_windows=20)
    assert len(few.windows) == 20
    assert sum(one.windows for one in few.counts) > 20


def test_bad_requests(stub, photo, encoded):
    for image, fields, reason in [
        (photo[:-200], {}, "IMAGE_UNDECODABLE"),
        (encoded(np.zeros((1, 1, 3), np.uint8)), {}, "IMAGE_TOO_SMALL"),
        (photo, {"selector": "no-such"}, "SELECTOR_UNKNOWN"),
        (photo, {"max_windows": 10_001}, "MAX_WINDOWS_OUT_OF_RANGE"),
    ]:
        with pytest.raises(grpc.RpcError) as raised:
            explained(stub, image, **fields)
        error = error_from_rpc(raised.value)
        assert (error.code, error.reason) == ("INVALID_ARGUMENT", reason)
    assert explained(stub, photo).windows  # the slot of the photos is free again
