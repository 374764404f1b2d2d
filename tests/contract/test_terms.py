"""Terms of every kind become one query vector; terms that mean nothing are refused."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest

from patchsearch.geometry import Box
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.v1 import types_pb2
from patchsearch.wire.vectors import box_to_proto, vector_to_proto
from router.composition import compose_query
from tests.contract.cluster import refused
from tests.contract.doors import CALL_TIMEOUT_S, RouterDoor
from tests.contract.fake_encoder import (
    DIM,
    FINGERPRINT,
    MAX_TOKENS,
    FakeEncoder,
    crop,
    seed_of_text,
    vector_of,
)

BOX = Box(0, 0, 50, 50)


@pytest.fixture
def stored(router: RouterDoor) -> RouterDoor:
    router.put_all([(f"i{seed}", [(BOX, seed)]) for seed in range(40)])
    return router


def term(weight: float | None = None, **content: object) -> types_pb2.Term:
    return types_pb2.Term(weight=weight, **content)  # type: ignore[arg-type]


def test_every_kind_of_term_counts_with_its_weight(
    stored: RouterDoor, encoder: FakeEncoder
) -> None:
    encoder.calls.clear()
    request = pb.SearchRequest(
        k=40,
        terms=[
            term(crop=crop(100)),
            term(2.0, text="an ambulance"),
            term(0.5, region={"image": crop(101), "box": box_to_proto(Box(1, 1, 9, 9))}),
            term(-0.25, patch={"image_id": "i7", "box": box_to_proto(BOX)}),
            term(1.5, vector=vector_to_proto(vector_of(102) * 10, FINGERPRINT)),
            term(0.75, text="a van"),
        ],
    )
    vectors = [
        vector_of(100),
        vector_of(seed_of_text("an ambulance")),
        vector_of(101),
        vector_of(7).astype(np.float16),
        vector_of(102),
        vector_of(seed_of_text("a van")),
    ]
    query = compose_query(np.stack(vectors), [1, 2, 0.5, -0.25, 1.5, 0.75])
    response = stored.stub.Search(request, timeout=CALL_TIMEOUT_S)
    expected = stored.search(query, 40)
    assert [h.image_id for h in response.hits] == [h.image_id for h in expected]
    assert [h.score for h in response.hits] == pytest.approx([h.score for h in expected], abs=1e-6)
    # All texts went in one call, all pixels in another.
    assert sorted(encoder.calls) == ["EncodeCrops", "EncodeTexts"]
    assert response.timings.encode_ms > 0


def test_more_terms_than_the_encoder_takes_at_once_are_sent_in_parts(stored: RouterDoor) -> None:
    request = pb.SearchRequest(k=1, terms=[term(crop=crop(9)) for _ in range(40)])
    assert stored.stub.Search(request, timeout=CALL_TIMEOUT_S).hits[0].image_id == "i9"


def test_a_text_that_was_cut_is_named_in_a_warning(stored: RouterDoor) -> None:
    long = "a very long description of one rare vehicle on a wet road"
    request = pb.SearchRequest(terms=[term(text="a van"), term(text=long)])
    (warning,) = stored.stub.Search(request, timeout=CALL_TIMEOUT_S).warnings
    assert "term 1" in warning
    assert long in warning
    assert f"{MAX_TOKENS} tokens" in warning


def test_searches_of_a_batch_share_the_calls_to_the_encoder(
    stored: RouterDoor, encoder: FakeEncoder
) -> None:
    encoder.calls.clear()
    batch = pb.BatchSearchRequest(
        requests=[
            pb.SearchRequest(k=1, terms=[term(crop=crop(3))]),
            pb.SearchRequest(k=1, terms=[term(crop=crop(4)), term(text="x", weight=1e-6)]),
            pb.SearchRequest(k=1, terms=[term(-1.0, crop=crop(4))]),
            pb.SearchRequest(k=1, terms=[term(crop=crop(5)), term(-1.0, crop=crop(5))]),
            pb.SearchRequest(k=1, terms=[term(crop=crop(6))]),
        ]
    )
    results = stored.stub.BatchSearch(batch, timeout=CALL_TIMEOUT_S).results
    assert [r.response.hits[0].image_id for r in (results[0], results[1], results[4])] == [
        "i3",
        "i4",
        "i6",
    ]
    assert results[2].error.message.startswith("every term has a negative weight")
    assert results[3].error.message.startswith("the terms cancel each other out")
    assert sorted(encoder.calls) == ["EncodeCrops", "EncodeTexts"]


def test_a_bad_crop_in_a_batch_spoils_its_own_search_only(stored: RouterDoor) -> None:
    batch = pb.BatchSearchRequest(
        requests=[
            pb.SearchRequest(k=1, terms=[term(crop=crop(3))]),
            pb.SearchRequest(k=1, terms=[term(crop=b"no picture")]),
            pb.SearchRequest(
                k=1, terms=[term(patch={"image_id": "nowhere", "box": box_to_proto(BOX)})]
            ),
        ]
    )
    results = stored.stub.BatchSearch(batch, timeout=CALL_TIMEOUT_S).results
    assert results[0].response.hits[0].image_id == "i3"
    assert results[1].error.code == 3
    assert results[2].error.code == 5


@pytest.mark.parametrize("count", [0, 257])
def test_a_batch_has_limits(router: RouterDoor, count: int) -> None:
    error = refused(
        router.stub.BatchSearch, pb.BatchSearchRequest(requests=[pb.SearchRequest()] * count)
    )
    assert (error.code, error.reason) == ("INVALID_ARGUMENT", "BATCH_OUT_OF_RANGE")


def raw(numbers: list[float], fingerprint: str = FINGERPRINT) -> types_pb2.Term:
    return term(
        vector=types_pb2.Vector(
            data=struct.pack(f"<{len(numbers)}f", *numbers),
            dtype=types_pb2.VECTOR_DTYPE_FLOAT32,
            dim=len(numbers),
            fingerprint=fingerprint,
        )
    )


GOOD = [1.0] + [0.0] * (DIM - 1)
BAD_QUERIES: list[tuple[str, pb.SearchRequest, str, str]] = [
    ("no terms", pb.SearchRequest(), "QUERY_EMPTY", "no terms"),
    ("a term of nothing", pb.SearchRequest(terms=[term()]), "QUERY_EMPTY", "term 0"),
    ("k 0", pb.SearchRequest(terms=[raw(GOOD)], k=0), "K_OUT_OF_RANGE", "1000"),
    ("k a million", pb.SearchRequest(terms=[raw(GOOD)], k=10**6), "K_OUT_OF_RANGE", "1000"),
    ("no text", pb.SearchRequest(terms=[term(text="")]), "TEXT_EMPTY", "term 0"),
    ("blank text", pb.SearchRequest(terms=[raw(GOOD), term(text=" \n")]), "TEXT_EMPTY", "term 1"),
    ("no bytes", pb.SearchRequest(terms=[term(crop=b"")]), "CROP_UNDECODABLE", "0 bytes"),
    (
        "no picture",
        pb.SearchRequest(terms=[term(text="a"), term(crop=crop(1)), term(crop=b"gif")]),
        "CROP_UNDECODABLE",
        "term 2: no picture",
    ),
    (
        "a box of no width",
        pb.SearchRequest(terms=[term(region={"image": crop(1), "box": {"w": 0, "h": 9}})]),
        "BOX_OUTSIDE_IMAGE",
        "term 0",
    ),
    (
        "a box beyond the edge",
        pb.SearchRequest(terms=[term(region={"image": crop(1), "box": {"x": 99, "w": 9, "h": 9}})]),
        "BOX_OUTSIDE_IMAGE",
        "outside",
    ),
    ("NaN", pb.SearchRequest(terms=[raw([math.nan, *GOOD[1:]])]), "VECTOR_INVALID", "NaN"),
    ("infinity", pb.SearchRequest(terms=[raw([math.inf, *GOOD[1:]])]), "VECTOR_INVALID", "term 0"),
    ("zeros", pb.SearchRequest(terms=[raw([0.0] * DIM)]), "VECTOR_INVALID", "zero"),
    ("too short", pb.SearchRequest(terms=[raw([1.0, 0.0])]), "VECTOR_INVALID", str(DIM)),
    (
        "length and dim apart",
        pb.SearchRequest(
            terms=[
                term(
                    vector=types_pb2.Vector(
                        data=b"1234", dtype=types_pb2.VECTOR_DTYPE_FLOAT32, dim=2
                    )
                )
            ]
        ),
        "VECTOR_INVALID",
        "4 bytes",
    ),
    ("weight 0", pb.SearchRequest(terms=[term(0.0, crop=crop(1))]), "WEIGHT_INVALID", "term 0"),
    ("weight NaN", pb.SearchRequest(terms=[term(math.nan, text="a")]), "WEIGHT_INVALID", "nan"),
    (
        "negatives only",
        pb.SearchRequest(terms=[term(-1.0, text="a"), term(-2.0, crop=crop(1))]),
        "QUERY_NEGATIVE_ONLY",
        "positive weight",
    ),
    (
        "cancelled out",
        pb.SearchRequest(terms=[term(crop=crop(1)), term(-1.0, crop=crop(1))]),
        "QUERY_EMPTY",
        "cancel",
    ),
    (
        "too many terms",
        pb.SearchRequest(terms=[term(text="a")] * 257),
        "BATCH_OUT_OF_RANGE",
        "256",
    ),
    (
        "a threshold of 2",
        pb.SearchRequest(terms=[raw(GOOD)], score_threshold=2.0),
        "SCORE_THRESHOLD_OUT_OF_RANGE",
        "-1 to 1",
    ),
    (
        "a threshold of NaN",
        pb.SearchRequest(terms=[raw(GOOD)], score_threshold=math.nan),
        "SCORE_THRESHOLD_OUT_OF_RANGE",
        "nan",
    ),
    (
        "a coverage of 2",
        pb.SearchRequest(terms=[raw(GOOD)], min_coverage=2.0),
        "MIN_COVERAGE_OUT_OF_RANGE",
        "0 to 1",
    ),
    (
        "oversample 0",
        pb.SearchRequest(terms=[raw(GOOD)], oversample=0.0),
        "OVERSAMPLE_OUT_OF_RANGE",
        "1 to 100",
    ),
    (
        "a patch of an id too long",
        pb.SearchRequest(terms=[term(patch={"image_id": "x" * 512, "box": box_to_proto(BOX)})]),
        "IMAGE_ID_INVALID",
        "511",
    ),
]


@pytest.mark.parametrize(
    ("request_", "reason", "says"),
    [pytest.param(*rest, id=name) for name, *rest in BAD_QUERIES],
)
def test_a_query_that_means_nothing_is_refused_with_a_reason(
    router: RouterDoor, request_: pb.SearchRequest, reason: str, says: str
) -> None:
    error = refused(router.stub.Search, request_)
    assert (error.code, error.reason) == ("INVALID_ARGUMENT", reason)
    assert says in error.message


@pytest.mark.parametrize("fingerprint", ["0" * 32, ""])
def test_a_vector_of_another_encoder_is_refused(router: RouterDoor, fingerprint: str) -> None:
    error = refused(router.stub.Search, pb.SearchRequest(terms=[raw(GOOD, fingerprint)]))
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "ENCODER_MISMATCH")
    assert FINGERPRINT in error.message


@pytest.mark.parametrize(
    ("image_id", "box"), [("nowhere", BOX), ("i1", Box(0, 0, 50, 51)), ("i1", Box(1, 0, 50, 50))]
)
def test_a_patch_that_is_not_stored_is_not_found(
    stored: RouterDoor, image_id: str, box: Box
) -> None:
    request = pb.SearchRequest(terms=[term(patch={"image_id": image_id, "box": box_to_proto(box)})])
    error = refused(stored.stub.Search, request)
    assert (error.code, error.reason) == ("NOT_FOUND", "PATCH_NOT_FOUND")
    assert "term 0" in error.message


def test_an_encoder_that_was_changed_meanwhile_is_noticed(
    router: RouterDoor, encoder: FakeEncoder
) -> None:
    encoder.fingerprint = "1" * 32
    try:
        error = refused(router.stub.Search, pb.SearchRequest(terms=[term(text="a van")]))
    finally:
        encoder.fingerprint = FINGERPRINT
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "ENCODER_MISMATCH")
