"""patchsearch.Client over real gRPC: requests arrive as meant, answers come back typed."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import io
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchsearch import (
    Box,
    Client,
    Crop,
    Field,
    IngestOutcome,
    Match,
    PatchRef,
    Photo,
    Query,
    Region,
    SearchResult,
    Text,
    VectorTerm,
    errors,
)
from patchsearch.wire.filters import filter_from_proto


@pytest.fixture
def filled(client: Client, fake) -> Client:
    photos = [
        Photo(f"{name}.png", fake.picture(name), uri=f"/p/{name}.png", metadata={"name": name})
        for name in fake.COLOURS
    ]
    assert [r.outcome for r in client.ingest(photos)] == [IngestOutcome.STORED] * 4
    return client


def test_a_text_finds_what_it_says(filled: Client) -> None:
    result = filled.search("red", k=2)
    assert isinstance(result, SearchResult)
    assert [hit.image_id for hit in result] == ["red.png", "yellow.png"]
    best = result[0]
    assert best.box == Box(0, 0, 32, 48)
    assert best.score == pytest.approx(1, abs=1e-3)
    assert best.score_kind == "exact"
    assert best.uri == "/p/red.png"
    assert (best.image_width, best.image_height) == (64, 48)
    assert best.metadata == {"name": "red"}
    assert best.suppressed[0].box == Box(32, 0, 32, 48)
    assert len(result) == 2
    assert result.scores.shape == (2,) and result.boxes.tolist() == [[0, 0, 32, 48]] * 2
    assert result.coverage.partitions_answered == 1 and not result.coverage.degraded
    assert (result.epoch, result.fingerprint, result.timings.total_ms) == (7, "mean-colour", 1.5)


def test_every_kind_of_term_reaches_the_server(filled: Client, fake, tmp_path: Path) -> None:
    green = fake.picture("green")
    two = np.concatenate([fake.picture("blue"), green], axis=1)
    file = tmp_path / "green.png"
    Image.fromarray(green).save(file)
    for term in [
        green,
        Crop(green),
        file,
        Crop(str(file)),
        file.read_bytes(),
        Image.fromarray(green),
        Region(two, Box(64, 0, 64, 48)),
        PatchRef("green.png", Box(0, 0, 32, 48)),
        filled.search("green", k=1)[0],
        VectorTerm(np.array([0, 5, 0]), "mean-colour"),
    ]:
        assert filled.search(term, k=1)[0].image_id == "green.png", term


def test_weights_add_and_push_away(filled: Client) -> None:
    assert filled.search("red", "green", k=1)[0].image_id == "yellow.png"
    assert filled.search("yellow", Text("green", weight=-1), k=1)[0].image_id == "red.png"


def test_options_travel_and_what_is_left_out_stays_unset(filled: Client, collection) -> None:
    filled.search("red")
    sent = collection.calls[-1][1]
    for name in ("k", "score_threshold", "min_coverage", "oversample", "filter", "ef", "nprobe"):
        assert not sent.HasField(name)
    assert not sent.exact and not sent.keep_overlapping
    filled.search(
        "red",
        k=3,
        score_threshold=0.0,
        min_coverage=0.0,
        exact=True,
        oversample=2.5,
        keep_overlapping=True,
        ef=64,
        nprobe=8,
    )
    sent = collection.calls[-1][1]
    assert (sent.k, sent.score_threshold, sent.min_coverage, sent.oversample) == (3, 0, 0, 2.5)
    assert (sent.ef, sent.nprobe) == (64, 8)
    assert sent.HasField("score_threshold") and sent.HasField("min_coverage")
    assert sent.exact and sent.keep_overlapping


def test_a_filter_travels_as_it_was_built_or_written(filled: Client, collection) -> None:
    built = Field("wet").equals(True) & (Field("speed") > 10)
    for filter in (built, "wet = true and speed > 10"):
        filled.search("red", filter=filter)
        assert filter_from_proto(collection.calls[-1][1].filter) == built
    filled.batch_search([Query(("red",), filter=built, ef=9), "green"])
    one, other = collection.calls[-1][1].requests
    assert filter_from_proto(one.filter) == built and one.ef == 9
    assert not other.HasField("filter")


@pytest.mark.parametrize("filter", [True, Field("a"), b"a = 1", {"a": 1}])
def test_what_is_no_filter_is_a_type_error(client: Client, filter: object) -> None:
    with pytest.raises(TypeError, match="is no filter"):
        client.search("red", filter=filter)


def test_no_hits_is_an_answer(client: Client) -> None:
    result = client.search("red")
    assert result.hits == ()
    assert result.boxes.shape == (0, 4) and result.scores.shape == (0,)


@pytest.mark.parametrize(
    ("terms", "options", "reason"),
    [
        ((), {}, "QUERY_EMPTY"),
        (("red",), {"k": 0}, "K_OUT_OF_RANGE"),
        (("red",), {"k": 1001}, "K_OUT_OF_RANGE"),
        (("red",), {"k": -1}, "K_OUT_OF_RANGE"),
        (("red",), {"ef": 0}, "EF_OUT_OF_RANGE"),
        (("red",), {"ef": 4097}, "EF_OUT_OF_RANGE"),
        (("red",), {"nprobe": -1}, "NPROBE_OUT_OF_RANGE"),
        (("red",), {"nprobe": 65537}, "NPROBE_OUT_OF_RANGE"),
        (("red",), {"filter": "weather = snow"}, "FILTER_INVALID"),
        (("red",), {"filter": ""}, "FILTER_INVALID"),
        (("red",), {"filter": Match("a", ())}, "FILTER_INVALID"),
        (("a\udc80b",), {}, "TEXT_INVALID"),
        ((Path("/nowhere/crop.jpg"),), {}, "FILE_UNREADABLE"),
        ((np.zeros((4, 4), np.uint8),), {}, "PIXELS_INVALID"),
        ((np.zeros((4, 4, 4), np.uint8),), {}, "PIXELS_INVALID"),
        ((np.zeros((4, 4, 3), np.float32),), {}, "PIXELS_INVALID"),
        ((np.zeros((0, 4, 3), np.uint8),), {}, "PIXELS_INVALID"),
        ((VectorTerm(np.array([np.nan, 1]), "f"),), {}, "VECTOR_INVALID"),
        ((b"no image",), {}, "IMAGE_UNDECODABLE"),
        ((Region(np.zeros((9, 9, 3), np.uint8), Box(5, 5, 5, 5)),), {}, "BOX_OUTSIDE_IMAGE"),
    ],
)
def test_a_query_that_cannot_be_used_is_refused(client: Client, terms, options, reason) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        client.search(*terms, **options)
    assert caught.value.reason == reason


@pytest.mark.parametrize("value", [3, None, np.zeros(512), ["red"], Box(0, 0, 1, 1)])
def test_what_is_no_term_is_a_type_error(client: Client, value: object) -> None:
    with pytest.raises(TypeError, match=r"term|VectorTerm"):
        client.search(value)


def test_server_errors_keep_class_and_reason(client: Client) -> None:
    with pytest.raises(errors.NotFound) as missing:
        client.search(PatchRef("nothing", Box(0, 0, 1, 1)))
    assert missing.value.reason == "PATCH_NOT_FOUND"
    with pytest.raises(errors.FailedPrecondition) as other:
        client.search(VectorTerm(np.ones(3), "another"))
    assert other.value.reason == "ENCODER_MISMATCH"


def test_a_refusal_says_when_to_come_back(client: Client, collection) -> None:
    collection.raises.append(errors.ResourceExhausted("OVERLOADED", "full", retry_after_s=1.5))
    with pytest.raises(errors.ResourceExhausted) as caught:
        client.describe()
    assert caught.value.retry_after_s == 1.5


def test_an_unavailable_server_is_asked_again(client: Client, collection) -> None:
    collection.raises += [errors.Unavailable("NOT_READY", "starting")] * 2
    assert client.describe().encoder == "fake"
    assert [name for name, _ in collection.calls] == ["DescribeCollection"] * 3


def test_nobody_at_the_address() -> None:
    with Client("127.0.0.1:1", timeout_s=10) as client, pytest.raises(errors.Unavailable) as caught:
        client.search("red")
    assert caught.value.reason == "UNREACHABLE"
    assert "127.0.0.1:1" in caught.value.message and "patchsearch serve" in caught.value.message


def test_every_call_has_a_deadline(client: Client, collection, fake) -> None:
    collection.ingest_delay_s = 5
    begun = time.monotonic()
    with pytest.raises(errors.DeadlineExceeded, match=r"0\.3 s"):
        list(client.ingest([fake.picture("red")], timeout_s=0.3))
    assert time.monotonic() - begun < 3


def test_a_batch_keeps_each_outcome_in_its_place(filled: Client, collection) -> None:
    queries = [Query(("red",), k=1), "no colour", Query(("red", "green"), k=1)] + ["blue"] * 300
    outcomes = filled.batch_search(queries)
    assert len(outcomes) == 303
    assert outcomes[0][0].image_id == "red.png"
    assert isinstance(outcomes[1], errors.InvalidArgument) and outcomes[1].reason == "TEXT_EMPTY"
    assert outcomes[2][0].image_id == "yellow.png"
    assert outcomes[302][0].image_id == "blue.png"
    assert [len(r.requests) for n, r in collection.calls if n == "BatchSearch"] == [256, 47]
    assert filled.batch_search([]) == []


def test_an_image_comes_back_with_patches_and_vectors(filled: Client, fake) -> None:
    detail = filled.get("red.png")
    assert detail.vectors is None and detail.fingerprint == ""
    assert [patch.box for patch in detail.patches] == [Box(0, 0, 32, 48), Box(32, 0, 32, 48)]
    assert detail.image.patch_count == 2
    assert detail.image.update_time == datetime.datetime.fromtimestamp(1_700_000_000, datetime.UTC)
    content = io.BytesIO()
    Image.fromarray(fake.picture("red")).save(content, "PNG", compress_level=1)
    assert detail.image.digest == hashlib.sha256(content.getvalue()).digest()
    detail = filled.get("red.png", include_vectors=True)
    assert detail.vectors.shape == (2, 3) and detail.vectors.dtype == np.float32
    assert detail.fingerprint == "mean-colour"


def test_a_missing_image_is_not_found(client: Client) -> None:
    with pytest.raises(errors.NotFound) as caught:
        client.get("nothing")
    assert caught.value.reason == "IMAGE_NOT_FOUND"


def test_deleting(filled: Client, collection) -> None:
    assert filled.delete("red.png") == ["red.png"]
    assert filled.delete("red.png") == []
    many = (f"{i}.png" for i in range(1500))
    assert filled.delete([*many, "blue.png"]) == ["blue.png"]
    sizes = [len(r.image_ids) for n, r in collection.calls if n == "DeleteImages"]
    assert sizes == [1, 1, 1000, 501]
    assert sorted(collection.images) == ["green.png", "yellow.png"]


def test_listing_goes_over_all_pages(filled: Client, collection) -> None:
    names = [image.image_id for image in filled.list(page_size=3)]
    assert names == ["blue.png", "green.png", "red.png", "yellow.png"]
    assert len([1 for name, _ in collection.calls if name == "ListImages"]) == 2
    assert [image.image_id for image in filled.list(prefix="re")] == ["red.png"]
    with pytest.raises(errors.InvalidArgument):
        list(filled.list(page_size=1001))


def test_the_collection_describes_itself(filled: Client) -> None:
    collection = filled.describe()
    assert (collection.encoder, collection.dim, collection.images) == ("fake", 3, 4)
    first, second = collection.partitions
    assert first.profile == "exact" and collection.coverage == 0.5
    states = [(replica.shard, replica.address, replica.state) for replica in first.replicas]
    assert states == [
        ("a", "127.0.0.1:1", "in use"),
        ("b", "", "behind"),
        ("c", "", "joining"),
        ("d", "", "away"),
    ]
    assert [one.recall[0].share for one in (first, second, collection)] == [0.75, 1.0, 0.875]


def test_results_are_frozen(filled: Client) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        filled.search("red")[0].score = 2


def test_a_message_over_the_limit_says_so(address: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (800, 800, 3), dtype=np.uint8)
    with Client(address, max_message_mb=1) as client:
        with pytest.raises(errors.ResourceExhausted) as caught:
            client.search(noise)
        assert caught.value.reason == "MESSAGE_TOO_LARGE"
