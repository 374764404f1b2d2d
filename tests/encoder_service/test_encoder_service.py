"""The service over real gRPC, with a fake model behind it."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

from patch_selection import SELECTORS, load_saliency, load_selector, select_patches
from patchsearch.encoder.v1 import encoder_service_pb2 as pb
from patchsearch.errors import InvalidArgument, PatchsearchError
from patchsearch.v1 import types_pb2
from patchsearch.wire.status import error_from_rpc
from patchsearch.wire.vectors import box_from_proto, matrix_from_proto

TIMEOUT_S = 120


def raised(call, request, timeout: float = TIMEOUT_S) -> PatchsearchError:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=timeout)
    return error_from_rpc(caught.value)


def texts(*words: str, templates: tuple[str, ...] = ()) -> pb.EncodeTextsRequest:
    return pb.EncodeTextsRequest(texts=words, templates=templates)


def crop(image: bytes, box: tuple[int, int, int, int] | None = None) -> pb.CropImage:
    if box is None:
        return pb.CropImage(image=image)
    x, y, w, h = box
    return pb.CropImage(image=image, box=types_pb2.Box(x=x, y=y, w=w, h=h))


def crops(*items: pb.CropImage) -> pb.EncodeCropsRequest:
    return pb.EncodeCropsRequest(crops=items)


@pytest.fixture
def stub(serve, fake_model):
    with serve(fake_model()) as stub:
        yield stub


def vectors_of(response) -> np.ndarray:
    assert response.vectors.fingerprint == "f" * 32
    vectors = matrix_from_proto(response.vectors)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    return vectors


def test_get_encoder(stub):
    card = stub.GetEncoder(pb.GetEncoderRequest(), timeout=TIMEOUT_S)
    assert (card.name, card.fingerprint, card.dim) == ("fake", "f" * 32, 512)
    assert (card.device, card.precision) == ("cpu", "float32")
    assert (card.selector, card.saliency) == ("multisize-filtered", "simplenet-mini")
    assert list(card.selectors) == list(SELECTORS)
    assert card.limits.max_image_pixels == 64_000_000
    assert card.limits.min_crop_side == 8
    assert card.limits.max_batch == 1024
    assert card.limits.max_text_tokens == 8


class TestTexts:
    def test_vectors_in_order(self, stub, fake_model):
        words = ["a red van", "moose", "a red van", "an ambulance"]
        vectors = vectors_of(stub.EncodeTexts(texts(*words), timeout=TIMEOUT_S))
        model = fake_model()
        assert np.array_equal(vectors, model.text_vectors(model.tokenize(words).ids))
        again = vectors_of(stub.EncodeTexts(texts(*reversed(words)), timeout=TIMEOUT_S))
        assert np.array_equal(again[::-1], vectors)

    def test_truncated_texts_are_named(self, stub):
        long = "one two three four five six seven eight nine"
        request = texts("short", long, "also short", long + " ten")
        for _ in range(2):  # the second time from memory
            answer = stub.EncodeTexts(request, timeout=TIMEOUT_S)
            assert list(answer.truncated) == [1, 3]

    def test_templates_are_averaged(self, stub):
        patterns = ("a photo of {}", "{} at night, {} seen from behind")
        answer = stub.EncodeTexts(texts("van", "moose", templates=patterns), timeout=TIMEOUT_S)
        plain = ["a photo of van", "van at night, van seen from behind"]
        plain += [sentence.replace("van", "moose") for sentence in plain]
        parts = vectors_of(stub.EncodeTexts(texts(*plain), timeout=TIMEOUT_S)).astype(np.float64)
        means = parts.reshape(2, 2, 512).mean(axis=1)
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        assert np.allclose(vectors_of(answer), means, atol=1e-6)
        assert list(answer.truncated) == []

    def test_a_text_is_truncated_if_one_of_its_templates_is(self, stub):
        patterns = ("{}", "a photo from the archive that shows {}")
        answer = stub.EncodeTexts(texts("van", "red van", templates=patterns), timeout=TIMEOUT_S)
        assert list(answer.truncated) == [1]

    def test_braces_in_a_text_are_text(self, stub):
        answer = stub.EncodeTexts(texts("{0} {x}", templates=("see {}",)), timeout=TIMEOUT_S)
        same = stub.EncodeTexts(texts("see {0} {x}"), timeout=TIMEOUT_S)
        assert np.array_equal(vectors_of(answer), vectors_of(same))

    @pytest.mark.parametrize(
        "request_, reason",
        [
            (texts(), "BATCH_OUT_OF_RANGE"),
            (texts(*["van"] * 1025), "BATCH_OUT_OF_RANGE"),
            (texts(*["van"] * 33, templates=("{}",) * 32), "BATCH_OUT_OF_RANGE"),
            (texts("van", ""), "TEXT_EMPTY"),
            (texts("\t\n \u00a0"), "TEXT_EMPTY"),
            (texts("van", templates=("a photo of",)), "TEMPLATE_INVALID"),
        ],
        ids=["none", "too many", "too many with templates", "empty", "white space", "no place"],
    )
    def test_bad_requests(self, stub, request_, reason):
        error = raised(stub.EncodeTexts, request_)
        assert isinstance(error, InvalidArgument) and error.reason == reason

    def test_as_many_as_allowed(self, stub):
        answer = stub.EncodeTexts(texts(*(f"van {n}" for n in range(1024))), timeout=TIMEOUT_S)
        assert len(vectors_of(answer)) == 1024


class TestCrops:
    def test_whole_images_and_regions(self, stub, fake_model, street, encoded):
        red = encoded(street[120:200, 80:160])
        photo = encoded(street)
        request = crops(crop(red), crop(photo, (80, 120, 80, 80)), crop(photo, (400, 200, 96, 96)))
        vectors = vectors_of(stub.EncodeCrops(request, timeout=TIMEOUT_S))
        assert np.array_equal(vectors[0], vectors[1])
        assert not np.allclose(vectors[1], vectors[2], atol=0.1)

    def test_a_region_that_is_not_square_takes_in_what_is_around_it(self, stub, street, encoded):
        photo = encoded(street)
        request = crops(crop(photo, (80, 140, 80, 40)), crop(photo, (80, 120, 80, 80)))
        vectors = vectors_of(stub.EncodeCrops(request, timeout=TIMEOUT_S))
        assert np.array_equal(vectors[0], vectors[1])

    def test_more_than_a_batch_in_order(self, stub, fake_model, encoded):
        plain = [np.full((16, 16, 3), (n % 256, 255 - n % 256, 7), np.uint8) for n in range(150)]
        request = crops(*(crop(encoded(picture)) for picture in plain))
        vectors = vectors_of(stub.EncodeCrops(request, timeout=TIMEOUT_S))
        assert np.array_equal(vectors, fake_model().image_vectors(np.stack(plain)))

    def test_bad_requests(self, stub, street, encoded):
        photo = encoded(street)
        cases = {
            "BATCH_OUT_OF_RANGE": [crops(), crops(*[crop(b"x")] * 1025)],
            "CROP_UNDECODABLE": [crops(crop(photo), crop(b"")), crops(crop(photo[:2000]))],
            "CROP_TOO_SMALL": [
                crops(crop(encoded(np.zeros((7, 90, 3), np.uint8)))),
                crops(crop(photo, (0, 0, 90, 7))),
            ],
            "BOX_OUTSIDE_IMAGE": [
                crops(crop(photo, (600, 0, 41, 20))),
                crops(crop(photo, (0, 0, 0, 0))),
                crops(crop(photo, (-1, 0, 20, 20))),
                crops(crop(photo, (2**31 - 1, 0, 2**31 - 1, 20))),
            ],
        }
        for reason, requests in cases.items():
            for request in requests:
                error = raised(stub.EncodeCrops, request)
                assert isinstance(error, InvalidArgument) and error.reason == reason, reason

    def test_an_error_names_the_crop(self, stub, street, encoded):
        error = raised(stub.EncodeCrops, crops(crop(encoded(street)), crop(b"?")))
        assert error.message.startswith("crop 1: ")
        assert error.metadata["position"] == "1"

    def test_the_pixel_limit_is_a_setting(self, serve, fake_model, street, encoded):
        with serve(fake_model(), max_image_mpx=0.2) as stub:
            error = raised(stub.EncodeCrops, crops(crop(encoded(street))))
            assert error.reason == "IMAGE_TOO_LARGE" and "0.2 Mpx" in error.message
            card = stub.GetEncoder(pb.GetEncoderRequest(), timeout=TIMEOUT_S)
            assert card.limits.max_image_pixels == 200_000


class TestPhotos:
    @pytest.mark.parametrize("name", ["", *SELECTORS])
    def test_patches_and_their_vectors(self, stub, fake_model, street, encoded, name):
        request = pb.SelectAndEncodeRequest(image=encoded(street), selector=name)
        answer = stub.SelectAndEncode(request, timeout=TIMEOUT_S)
        used = name or "multisize-filtered"
        assert (answer.width, answer.height) == (640, 360)
        assert answer.selection == f"{used}/simplenet-mini"
        expected = select_patches(street, load_saliency(), load_selector(used)).patches
        assert [box_from_proto(p.box) for p in answer.patches] == [p.box for p in expected]
        assert [p.level for p in answer.patches] == [p.level for p in expected]
        assert np.allclose([p.score for p in answer.patches], [p.score for p in expected])
        photo, some = encoded(street), list(answer.patches)[::10]
        boxes = [crop(photo, (p.box.x, p.box.y, p.box.w, p.box.h)) for p in some]
        as_crops = stub.EncodeCrops(crops(*boxes), timeout=TIMEOUT_S)
        assert len(vectors_of(answer)) == len(expected)
        assert np.array_equal(vectors_of(answer)[::10], vectors_of(as_crops))

    def test_boxes_are_those_of_the_upright_image(self, stub, street, encoded):
        from PIL import Image

        exif = Image.Exif()
        exif[0x0112] = 6
        turned = encoded(street.swapaxes(0, 1)[::-1].copy(), exif=exif)
        answers = [
            stub.SelectAndEncode(pb.SelectAndEncodeRequest(image=data), timeout=TIMEOUT_S)
            for data in (encoded(street), turned)
        ]
        assert answers[0] == answers[1]

    def test_more_patches_than_the_queue_takes(self, serve, fake_model, encoded):
        noise = np.random.default_rng(0).integers(0, 256, (64, 900, 3), dtype=np.uint8)
        request = pb.SelectAndEncodeRequest(image=encoded(noise), selector="baseline-unfiltered")
        answers = []
        for limit in (10, 1000):
            with serve(fake_model(), queue_limit=limit) as stub:
                answers.append(stub.SelectAndEncode(request, timeout=TIMEOUT_S))
        assert len(answers[0].patches) > 2 * 10
        assert answers[0] == answers[1]

    def test_a_photo_smaller_than_a_window_is_one_patch(self, stub, encoded):
        small = np.random.default_rng(0).integers(0, 256, (20, 33, 3), dtype=np.uint8)
        request = pb.SelectAndEncodeRequest(image=encoded(small))
        answer = stub.SelectAndEncode(request, timeout=TIMEOUT_S)
        assert [box_from_proto(p.box).area for p in answer.patches] == [20 * 33]
        assert answer.warnings

    def test_a_blank_photo_gives_a_warning(self, stub, encoded):
        blank = np.full((360, 640, 3), 128, dtype=np.uint8)
        answer = stub.SelectAndEncode(
            pb.SelectAndEncodeRequest(image=encoded(blank)), timeout=TIMEOUT_S
        )
        assert answer.patches and answer.warnings

    def test_bad_requests(self, stub, street, encoded):
        photo = encoded(street)
        for image, selector, reason in [
            (b"", "", "IMAGE_UNDECODABLE"),
            (photo[:-200], "", "IMAGE_UNDECODABLE"),
            (encoded(street, "GIF"), "", "IMAGE_UNDECODABLE"),
            (encoded(np.zeros((1, 1, 3), np.uint8)), "", "IMAGE_TOO_SMALL"),
            (photo, "no-such-selector", "SELECTOR_UNKNOWN"),
        ]:
            request = pb.SelectAndEncodeRequest(image=image, selector=selector)
            error = raised(stub.SelectAndEncode, request)
            assert isinstance(error, InvalidArgument) and error.reason == reason
