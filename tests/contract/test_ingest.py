"""Images in: mixed good and bad, skipped by digest, held back, interrupted."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator

import grpc
import pytest

from patchsearch.geometry import Box
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.wire.status import error_from_status
from tests.contract.cluster import serving_router
from tests.contract.conftest import Clusters
from tests.contract.doors import CALL_TIMEOUT_S, RouterDoor
from tests.contract.fake_encoder import FakeEncoder, photo, vector_of

BOX = Box(0, 0, 50, 50)
STORED = pb.INGEST_OUTCOME_STORED
UNCHANGED = pb.INGEST_OUTCOME_UNCHANGED
NEEDED = pb.INGEST_OUTCOME_CONTENT_NEEDED
FAILED = pb.INGEST_OUTCOME_FAILED


def image(image_id: str, seed: int = 1, **fields: object) -> pb.IngestImagesRequest:
    return pb.IngestImagesRequest(
        image_id=image_id,
        **{"content": photo([(BOX, seed)]), **fields},  # type: ignore[arg-type]
    )


def ingest(router: RouterDoor, *requests: pb.IngestImagesRequest) -> list[pb.IngestImagesResponse]:
    """Results in the order of the requests."""
    results = list(router.stub.IngestImages(iter(requests), timeout=CALL_TIMEOUT_S))
    assert sorted(r.index for r in results) == list(range(len(requests)))
    in_order = sorted(results, key=lambda r: r.index)
    assert [r.image_id for r in in_order] == [r.image_id for r in requests]
    return in_order


def reason(result: pb.IngestImagesResponse) -> str:
    assert result.outcome == FAILED
    return error_from_status(result.error).reason


def sha(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def test_bad_images_fail_alone_and_good_ones_are_stored(router: RouterDoor) -> None:
    large = image("metadata")
    large.metadata.update({"x": "y" * 65536})
    results = ingest(
        router,
        image("good/1"),
        image(""),
        image("x" * 512),
        image("no picture", content=b"GIF89a"),
        image("empty", content=b""),
        image("other content", digest=sha(b"other")),
        image("short digest", digest=b"123"),
        large,
        image("good/2", 2, digest=sha(photo([(BOX, 2)]))),
    )
    assert [r.outcome for r in results] == [STORED, *[FAILED] * 7, STORED]
    assert [reason(r) for r in results[1:-1]] == [
        "IMAGE_ID_INVALID",
        "IMAGE_ID_INVALID",
        "IMAGE_UNDECODABLE",
        "IMAGE_UNDECODABLE",
        "DIGEST_MISMATCH",
        "DIGEST_MISMATCH",
        "METADATA_TOO_LARGE",
    ]
    assert [r.patches for r in results] == [1, *[0] * 7, 1]
    assert router.ids() == ["good/1", "good/2"]


def test_an_empty_stream_ends(router: RouterDoor) -> None:
    assert ingest(router) == []


def test_a_stored_image_is_visible_as_soon_as_it_is_acknowledged(router: RouterDoor) -> None:
    more = threading.Event()

    def requests() -> Iterator[pb.IngestImagesRequest]:
        yield image("a", 3)
        more.wait(10)
        yield image("b", 3)

    call = router.stub.IngestImages(requests(), timeout=CALL_TIMEOUT_S)
    assert next(call).image_id == "a"
    assert [h.image_id for h in router.search(vector_of(3), 5)] == ["a"]
    more.set()
    assert [r.image_id for r in call] == ["b"]


def test_of_one_id_twice_in_a_stream_the_later_stays(router: RouterDoor) -> None:
    for _ in range(5):
        results = ingest(router, *(image("a", seed) for seed in range(20)))
        assert {r.outcome for r in results} == {STORED}
        assert router.search(vector_of(19), 1)[0].score == pytest.approx(1, abs=1e-3)


class TestDigests:
    def test_content_that_is_stored_already_is_not_asked_for(
        self, router: RouterDoor, encoder: FakeEncoder
    ) -> None:
        content = photo([(BOX, 1)])
        first, again, whole = (
            image("a", content=b"", digest=sha(content), uri="u"),
            image("a", content=content, digest=sha(content), uri="u"),
            image("a", content=b"", digest=sha(content), uri="u"),
        )
        assert [r.outcome for r in ingest(router, first)] == [NEEDED]
        assert [r.outcome for r in ingest(router, again)] == [STORED]
        encoder.calls.clear()
        assert [r.outcome for r in ingest(router, whole, again)] == [UNCHANGED, UNCHANGED]
        assert encoder.calls == []

    @pytest.mark.parametrize(
        "change",
        [
            {"uri": "elsewhere"},
            {"metadata": {"camera": "rear"}},
            {"selector": "other-selector"},
            {"digest": sha(b"other content")},
        ],
    )
    def test_anything_that_differs_is_asked_for(
        self, router: RouterDoor, change: dict[str, object]
    ) -> None:
        content = photo([(BOX, 1)])
        assert ingest(router, image("a", content=content))[0].outcome == STORED
        asked = {"content": b"", "digest": sha(content)}
        assert ingest(router, image("a", **asked))[0].outcome == UNCHANGED
        assert ingest(router, image("a", **{**asked, **change}))[0].outcome == NEEDED

    def test_another_default_selector_counts_as_a_difference(
        self, router: RouterDoor, encoder: FakeEncoder
    ) -> None:
        content = photo([(BOX, 1)])
        assert ingest(router, image("a", content=content))[0].outcome == STORED
        encoder.selector, before = "other-selector", encoder.selector
        try:
            asked = image("a", content=b"", digest=sha(content))
            assert ingest(router, asked)[0].outcome == NEEDED
        finally:
            encoder.selector = before

    def test_without_a_digest_the_image_is_stored_anew(
        self, router: RouterDoor, encoder: FakeEncoder
    ) -> None:
        ingest(router, image("a"))
        encoder.calls.clear()
        assert ingest(router, image("a"))[0].outcome == STORED
        assert encoder.calls == ["SelectAndEncode"]

    def test_a_deleted_image_is_asked_for(self, router: RouterDoor) -> None:
        content = photo([(BOX, 1)])
        ingest(router, image("a", content=content))
        router.delete("a")
        assert ingest(router, image("a", content=b"", digest=sha(content)))[0].outcome == NEEDED

    def test_a_change_and_back_in_one_stream_ends_where_the_stream_ends(
        self, router: RouterDoor
    ) -> None:
        old, new = photo([(BOX, 1)]), photo([(BOX, 2)])
        ingest(router, image("a", content=old))
        results = ingest(
            router,
            image("a", content=new, digest=sha(new)),
            image("a", content=old, digest=sha(old)),
        )
        assert [r.outcome for r in results] == [STORED, STORED]
        assert router.search(vector_of(1), 1)[0].score == pytest.approx(1, abs=1e-3)


def test_a_full_encoder_is_waited_for(router: RouterDoor, encoder: FakeEncoder) -> None:
    encoder.overloads = 12
    results = ingest(router, *(image(f"i{n}", n) for n in range(8)))
    assert {r.outcome for r in results} == {STORED}
    assert encoder.calls.count("SelectAndEncode") >= 20


def test_a_full_encoder_is_not_waited_for_beyond_the_deadline(
    router: RouterDoor, encoder: FakeEncoder
) -> None:
    encoder.overloads = 10**6
    began = time.monotonic()
    try:
        (result,) = router.stub.IngestImages(iter([image("a")]), timeout=0.5)
        assert error_from_status(result.error).code == "DEADLINE_EXCEEDED"
    except grpc.RpcError as error:  # the stream's own end may be told first
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    finally:
        encoder.overloads = 0
    assert time.monotonic() - began < 2


def test_no_more_images_are_read_than_may_be_in_flight(
    clusters: Clusters,
    encoder: FakeEncoder,
    wait_until: Callable[[Callable[[], bool]], None],
) -> None:
    shared = clusters.of(1)
    sent: list[int] = []

    def requests() -> Iterator[pb.IngestImagesRequest]:
        for number in range(400):
            sent.append(number)
            # Large enough that the buffers of the connection hold only a few.
            yield image(f"held/{number}", content=photo([(BOX, 1)], salt="x" * 200_000))

    with serving_router(
        shared.placement_path, shared.encoder_address, ingest_in_flight=3
    ) as running:
        encoder.released.clear()
        try:
            call = running.stub.IngestImages(requests(), timeout=60)
            wait_until(lambda: encoder.waiting == 3)
            held = -1
            while held != len(sent):  # until the buffers are full
                held = len(sent)
                threading.Event().wait(0.3)
            assert encoder.most_waiting == 3
            assert held < 100
        finally:
            encoder.released.set()
        assert sum(r.outcome == STORED for r in call) == 400
        assert encoder.most_waiting == 3


def test_a_caller_that_cancels_leaves_a_router_that_works(
    router: RouterDoor, encoder: FakeEncoder, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    encoder.released.clear()
    try:
        endless = (image(f"c{n}") for n in range(10**9))
        call = router.stub.IngestImages(endless, timeout=60)
        wait_until(lambda: encoder.waiting > 0)
        call.cancel()
        with pytest.raises(grpc.RpcError):
            list(call)
    finally:
        encoder.released.set()
    wait_until(lambda: encoder.waiting == 0)
    assert ingest(router, image("after"))[0].outcome == STORED
    assert "after" in router.ids("after")


def test_streams_never_take_all_workers(clusters: Clusters) -> None:
    shared = clusters.of(1)
    release = threading.Event()

    def quiet() -> Iterator[pb.IngestImagesRequest]:
        yield image("a")
        release.wait(20)

    with serving_router(shared.placement_path, shared.encoder_address, workers=4) as running:
        open_streams = [running.stub.IngestImages(quiet(), timeout=30) for _ in range(2)]
        try:
            for stream in open_streams:
                assert next(stream).outcome == STORED
            third = running.stub.IngestImages(iter([image("b")]), timeout=10)
            with pytest.raises(grpc.RpcError) as caught:
                list(third)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "a" in RouterDoor(running.stub).ids()
        finally:
            release.set()
        for stream in open_streams:
            assert list(stream) == []
        assert ingest(RouterDoor(running.stub), image("b"))[0].outcome == STORED
