"""Client.ingest: what travels, in what order, and what happens when something breaks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchsearch import Client, IngestOutcome, Photo, errors
from patchsearch.photos import prepare
from patchsearch.wire import ingest_flow

STORED, UNCHANGED, FAILED = IngestOutcome.STORED, IngestOutcome.UNCHANGED, IngestOutcome.FAILED


def shades(fake, count: int) -> list[Photo]:
    return [Photo(f"{i:04}", fake.picture((i % 256, i // 256, 99), 16, 16)) for i in range(count)]


def sent(collection) -> list[bool]:
    """For each ingest message, whether it carried pixels."""
    return [bool(request.content) for name, request in collection.calls if name == "IngestImages"]


def test_every_kind_of_photo(client: Client, collection, fake, tmp_path: Path) -> None:
    red = fake.picture("red")
    file = tmp_path / "a b.png"
    Image.fromarray(red).save(file)
    content = file.read_bytes()
    results = list(
        client.ingest(
            [
                file,
                str(file),
                content,
                red,
                Image.fromarray(red),
                ("tuple", red),
                ("with metadata", content, {"n": 1, "list": [1.5, None, True, {"a": "b"}]}),
                Photo("photo", file, metadata={"n": 2}, selector="halves"),
                Photo("uri", file, uri="s3://bucket/key"),
            ],
            selector="default",
        )
    )
    named = "sha256-" + hashlib.sha256(content).hexdigest()
    assert sorted(r.position for r in results) == list(range(9))
    by_position = {r.position: r for r in results}
    assert by_position[0].image_id == by_position[1].image_id == str(file)
    assert by_position[1].outcome is UNCHANGED
    assert by_position[2].image_id == named
    assert by_position[0].patches == 2
    assert collection.images[str(file)].request.uri == str(file)
    assert collection.images["tuple"].request.uri == ""
    assert collection.images["uri"].request.uri == "s3://bucket/key"
    assert collection.images["tuple"].request.selector == "default"
    assert collection.images["photo"].request.selector == "halves"
    assert client.get("with metadata").image.metadata == {
        "n": 1,
        "list": [1.5, None, True, {"a": "b"}],
    }


def test_a_fresh_collection_soon_gets_pixels_at_once(client: Client, collection, fake) -> None:
    results = list(client.ingest(shades(fake, 60)))
    assert [r.outcome for r in results] == [STORED] * 60
    announced = sent(collection).count(False)
    assert 8 <= announced <= ingest_flow.MAX_IN_FLIGHT + 8


def test_resuming_sends_no_pixels_of_what_is_stored(client: Client, collection, fake) -> None:
    list(client.ingest(shades(fake, 100)))
    collection.calls.clear()
    results = list(client.ingest(shades(fake, 120)))
    assert [r.outcome for r in results].count(UNCHANGED) == 100
    assert [r.outcome for r in results].count(STORED) == 20
    assert sent(collection).count(True) == 20


def test_after_a_fresh_part_a_stored_part_is_noticed(client: Client, collection, fake) -> None:
    photos = shades(fake, 150)
    list(client.ingest(photos[50:]))
    collection.calls.clear()
    results = list(client.ingest(photos))
    assert [r.outcome for r in results].count(UNCHANGED) == 100
    assert sent(collection).count(True) <= 50 + ingest_flow.MAX_IN_FLIGHT


def test_changed_metadata_is_stored_again(client: Client, fake) -> None:
    list(client.ingest([("a", fake.picture("red"), {"v": 1})]))
    (result,) = client.ingest([("a", fake.picture("red"), {"v": 2})])
    assert result.outcome is STORED
    assert client.get("a").image.metadata == {"v": 2}


def test_bad_photos_are_told_and_the_rest_goes_on(client: Client, fake, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jpg"
    empty.touch()
    red = fake.picture("red")
    photos = [
        ("good 1", red),
        ("broken", b"this is no picture"),
        tmp_path / "missing.jpg",
        tmp_path,
        empty,
        ("", red),
        ("x" * 512, red),
        ("not utf-8 \udcff", red),
        ("gray", np.zeros((9, 9), np.uint8)),
        ("nan", red, {"v": float("nan")}),
        ("nanoseconds", red, {"t": 1_700_000_000_123_456_789}),
        ("object", red, {"t": object()}),
        ("keys", red, {1: 2}),
        ("good 2", red),
        ("\u0000 \U0001f6a6/../ü%2F\n", red),
        ("x" * 511, red),
    ]
    results = {r.position: r for r in client.ingest(photos)}
    assert len(results) == len(photos)
    reasons = [results[i].error and results[i].error.reason for i in range(len(photos))]
    assert reasons == [
        None,
        "IMAGE_UNDECODABLE",
        "FILE_UNREADABLE",
        "FILE_UNREADABLE",
        "IMAGE_UNDECODABLE",
        "IMAGE_ID_INVALID",
        "IMAGE_ID_INVALID",
        "IMAGE_ID_INVALID",
        "PIXELS_INVALID",
        *["METADATA_INVALID"] * 4,
        None,
        None,
        None,
    ]
    for result in results.values():
        assert (result.outcome is FAILED) == (result.error is not None)
        result.image_id.encode()  # can be printed and written to a file
    assert "string" in results[10].error.message
    assert client.get("\u0000 \U0001f6a6/../ü%2F\n").image.patch_count == 2


def test_a_photo_over_the_message_limit_fails_alone(address: str, fake) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (800, 800, 3), dtype=np.uint8)
    with Client(address, max_message_mb=1) as client:
        results = {r.image_id: r for r in client.ingest([("big", noise), ("b", b"x"), ("c", b"")])}
    assert results["big"].error.reason == "IMAGE_TOO_LARGE"
    assert results["b"].error.reason == "IMAGE_UNDECODABLE"


def test_photos_are_taken_only_as_there_is_room(client: Client, collection, fake) -> None:
    collection.ingest_delay_s = 0.005
    taken = 0

    def photos() -> Iterator[Photo]:
        nonlocal taken
        for photo in shades(fake, 100):
            taken += 1
            yield photo

    most = 0
    for done, _ in enumerate(client.ingest(photos())):
        most = max(most, taken - done)
    assert most <= ingest_flow.MAX_IN_FLIGHT + 1


def test_results_come_while_a_slow_source_goes_on(client: Client, collection, fake) -> None:
    """The sender need not fill anything up before the first results are handed out."""
    photos = shades(fake, 4)
    results = client.ingest(iter_waiting(photos, lambda: len(collection.images)))
    assert len(list(results)) == 4


def iter_waiting(photos: list[Photo], stored) -> Iterator[Photo]:
    import time

    for position, photo in enumerate(photos):
        until = time.monotonic() + 5
        while stored() < position - 1 and time.monotonic() < until:
            time.sleep(0.01)
        assert stored() >= position - 1
        yield photo


def test_a_broken_stream_goes_on_where_it_was(client: Client, collection, fake) -> None:
    collection.breaks_after += [3, 0, 25]
    results = list(client.ingest(shades(fake, 40)))
    assert sorted(r.position for r in results) == list(range(40))
    assert FAILED not in [r.outcome for r in results]
    assert len(collection.images) == 40


def test_a_server_that_comes_back_is_found_again(fake) -> None:
    collection = fake.FakeCollection()

    def photos() -> Iterator[Photo]:
        for position, photo in enumerate(shades(fake, 30)):
            if position == 15:
                first.__exit__(None, None, None)
                second.__enter__()
            yield photo

    first = fake.running(collection)
    address = first.__enter__()
    second = fake.running(collection, port=int(address.rpartition(":")[2]))
    with Client(address) as client:
        results = list(client.ingest(photos()))
    second.__exit__(None, None, None)
    assert sorted(r.position for r in results) == list(range(30))
    assert len(collection.images) == 30


def test_an_error_of_the_photos_own_reaches_the_caller(client: Client, fake) -> None:
    """Even one that looks like the server's: it must not be taken for a broken connection."""

    def photos() -> Iterator[Photo]:
        yield from shades(fake, 3)
        raise errors.Unavailable("NOT_READY", "the camera is off")

    with pytest.raises(errors.Unavailable, match="camera"):
        list(client.ingest(photos()))


def test_what_is_no_photo_is_a_type_error(client: Client) -> None:
    with pytest.raises(TypeError, match="no photo"):
        list(client.ingest([3]))


def test_an_abandoned_ingest_leaves_nothing_running(client: Client, collection, fake) -> None:
    collection.ingest_delay_s = 0.01
    results = client.ingest(shades(fake, 1000))
    next(results)
    results.close()
    assert len(collection.calls) < 100
    assert client.describe().images >= 1


def test_no_photos(client: Client) -> None:
    assert list(client.ingest([])) == []


def test_streams_are_renewed(client: Client, collection, fake) -> None:
    collection.ingest_delay_s = 0.01
    assert len(list(client.ingest(shades(fake, 60), timeout_s=0.5))) == 60


def test_prepared_photos_are_not_read_again(client: Client, fake, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(fake.picture("red")).save(file)
    prepared = prepare(Photo("a", file))
    file.unlink()
    (result,) = client.ingest([prepared])
    assert result.outcome is STORED
