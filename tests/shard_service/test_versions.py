"""Versions from a clock that is ahead: a little is taken, much is refused and harms nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchsearch.errors import FailedPrecondition
from patchsearch.shard.v1 import shard_service_pb2 as pb
from shard_service.versions import VersionWatch
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
    with running(tmp_path / "a", versions=VersionWatch(60, lambda: NOW_S)) as one:
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
    limits = VersionWatch(60, lambda: NOW_S), VersionWatch(60, lambda: NOW_S - 600)
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
        VersionWatch(60, lambda: NOW_S).check([version(0), version(90.2)])


def test_the_newest_version_runs_on_from_the_one_furthest_ahead() -> None:
    now_s = 50.0
    watch = VersionWatch(60, lambda: NOW_S, lambda: now_s)
    assert watch.newest(7) == 7
    watch.check([version(2)])
    assert watch.newest(7) == version(2)
    # Another router, whose clock is right, a second later: two seconds ahead is what counts.
    now_s += 1
    watch.check([version(1)])
    assert version(2.998) <= watch.newest(7) <= version(3)
    # What was not heard of again is forgotten slowly.
    now_s += 4000
    assert version(3998) < watch.newest(7) < version(4000)
    assert watch.newest(version(4001)) == version(4001)
    watch.check([version(40)])
    assert watch.newest(0) > version(3998)


def test_what_is_refused_moves_no_clock() -> None:
    watch = VersionWatch(60, lambda: NOW_S)
    with pytest.raises(FailedPrecondition):
        watch.check([version(61)])
    assert watch.newest(0) == 0


def test_shards_tell_routers_what_time_it_is_for_the_one_furthest_ahead(tmp_path: Path) -> None:
    now_s = 50.0
    watch = VersionWatch(60, lambda: NOW_S, lambda: now_s)
    with running(tmp_path / "a", versions=watch) as one:
        assert one.stub.PutImages(put(2)).newest_version == version(2)
        now_s += 10
        answer = one.stub.DeleteImages(delete(3))
        assert version(11.9) < answer.newest_version <= version(12)
        (told,) = one.stub.DescribePartitions(pb.DescribePartitionsRequest()).partitions
        assert told.newest_version == answer.newest_version
