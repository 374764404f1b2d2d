"""Versions from a clock that is ahead: a little is taken, much is refused and harms nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchsearch.shard.v1 import shard_service_pb2 as pb
from shard_service.versions import VersionLimit
from tests.shard_service.replica_shards import RunningShard, refusal, running

NOW_S = 1_800_000_000.0
TOO_FAR = ("FAILED_PRECONDITION", "VERSION_TOO_FAR_AHEAD")


def version(ahead_s: float) -> int:
    return int((NOW_S + ahead_s) * 1000) << 16


def put(*ahead_s: float) -> pb.PutImagesRequest:
    images = [
        pb.StoredImage(image_id=f"i{n}", version=version(one), width=9, height=9)
        for n, one in enumerate(ahead_s)
    ]
    return pb.PutImagesRequest(partition_id="p0", images=images)


def delete(ahead_s: float) -> pb.DeleteImagesRequest:
    return pb.DeleteImagesRequest(partition_id="p0", image_ids=["i0"], version=version(ahead_s))


def stored(one: RunningShard) -> int:
    request = pb.GetImagesRequest(partition_id="p0", image_ids=["i0"])
    (image,) = one.stub.GetImages(request).images
    return image.version


def test_a_write_from_the_far_future_leaves_an_image_as_it_is(tmp_path: Path) -> None:
    with running(tmp_path / "a", versions=VersionLimit(60, lambda: NOW_S)) as one:
        assert list(one.stub.PutImages(put(0)).applied) == [True]
        # One of two is enough to refuse both.
        assert refusal(one.stub.PutImages, put(0.001, 61)) == TOO_FAR
        assert refusal(one.stub.DeleteImages, delete(61)) == TOO_FAR
        last = pb.DeleteImagesRequest(partition_id="p0", image_ids=["i0"], version=2**64 - 1)
        assert refusal(one.stub.DeleteImages, last) == TOO_FAR
        assert stored(one) == version(0)
        # A router whose clock is two seconds ahead, and one that is right and comes later.
        assert list(one.stub.PutImages(put(2)).applied) == [True]
        assert list(one.stub.PutImages(put(3)).applied) == [True]
        assert list(one.stub.DeleteImages(delete(59)).deleted) == [True]


def test_what_another_replica_has_taken_is_taken_over(tmp_path: Path) -> None:
    """Shards' clocks differ, too: a replica must not stay behind because of its own."""
    limits = VersionLimit(60, lambda: NOW_S), VersionLimit(60, lambda: NOW_S - 600)
    with (
        running(tmp_path / "a", versions=limits[0]) as one,
        running(tmp_path / "b", versions=limits[1]) as slow,
    ):
        one.stub.PutImages(put(30))
        assert refusal(slow.stub.PutImages, put(30)) == TOO_FAR
        assert slow.repair_from(one) == (1, 0)
        assert stored(slow) == version(30) and slow.digest() == one.digest()


def test_the_refusal_names_limit_and_remedy() -> None:
    with pytest.raises(Exception, match=r"90 s ahead .* limit is 60 s .*--max-clock-ahead-s.*NTP"):
        VersionLimit(60, lambda: NOW_S).check([version(0), version(90.2)])
