"""Partitions go from shard to shard as they are, and replicas repair each other."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest

from patchsearch.shard.v1 import shard_service_pb2 as pb
from service_runtime.clients import open_channel
from shard_service.options import PartitionOptions
from shard_service.search.query import PartitionQuery
from shard_service.snapshots.layout import SUMMARY
from tests.shard_service.conftest import Workers
from tests.shard_service.material import FINGERPRINT, IDENTITY, units
from tests.shard_service.oracle import found
from tests.shard_service.replica_shards import RunningShard, fill, records, refusal, running

SEALING = PartitionOptions(seal_patches=10**9, min_train_patches=300, map_bytes=1 << 20)


def files_below(directory: Path) -> dict[str, bytes]:
    paths = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): path.read_bytes() for path in paths}


def nothing_left(one: RunningShard) -> bool:
    partitions, copies = one.data / "partitions", one.data / "copies"
    return not [*partitions.glob(".*"), *copies.glob("*")]


def test_a_pulled_partition_answers_the_same(tmp_path: Path, rng: np.random.Generator) -> None:
    with (
        running(tmp_path / "a") as source,
        running(tmp_path / "b", create=False) as target,
    ):
        fill(source, rng)
        source.partition.seal()
        fill(source, rng, 20, "later")
        source.partition.delete(["i3", "none"], 500)
        progress = target.pull_from(source)
        assert progress[-1].done_bytes == progress[-1].total_bytes - _summary_bytes(progress)
        done = [one.done_bytes for one in progress]
        assert done == sorted(done) and not progress[-1].already_held
        for folder in ("segments", "codebooks"):
            mine = files_below(source.data / "partitions/p0" / folder)
            assert mine == files_below(target.data / "partitions/p0" / folder) and mine
        assert source.partition.describe() == target.partition.describe()
        for vector in units(rng, 10):
            query = PartitionQuery(vector, 50)
            assert found(source.partition.search(query, FINGERPRINT)) == found(
                target.partition.search(query, FINGERPRINT)
            )
        again = target.pull_from(source)
        assert [one.already_held for one in again] == [True]
        assert nothing_left(source) and nothing_left(target)
        assert records(source.data / "partitions/p0") == records(target.data / "partitions/p0")


def _summary_bytes(progress: list[pb.PullPartitionResponse]) -> int:
    # The list of files is counted among the bytes to fetch, and comes before the first message.
    return int(progress[-1].total_bytes - progress[-1].done_bytes)


def test_a_source_that_fails_leaves_nothing(tmp_path: Path, rng: np.random.Generator) -> None:
    failed = ("UNAVAILABLE", "SOURCE_FAILED")
    with (
        running(tmp_path / "a") as source,
        running(tmp_path / "b", create=False) as target,
    ):
        pull = pb.PullPartitionRequest(partition_id="gone", source=source.address)
        assert refusal(target.stub.PullPartition, pull) == failed
        nobody = pb.PullPartitionRequest(partition_id="p0", source="127.0.0.1:1")
        assert refusal(target.stub.PullPartition, nobody) == failed
        assert not [*(target.data / "partitions").iterdir()]
        described = pb.DescribePartitionsRequest(partition_ids=["p0"])
        assert refusal(target.stub.DescribePartitions, described)[1] == "PARTITION_NOT_FOUND"
        repair = pb.RepairPartitionRequest(partition_id="p0", source="127.0.0.1:1")
        assert refusal(source.stub.RepairPartition, repair) == failed
        repair.partition_id = "gone"
        assert refusal(source.stub.RepairPartition, repair)[1] == "PARTITION_NOT_FOUND"


class DamagingChannel:
    """Lets a call through and changes what it answers: a source with a bad disk or network."""

    def __init__(self, address: str, spoil) -> None:  # type: ignore[no-untyped-def]
        self._channel = open_channel(address)
        self._spoil = spoil

    def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
        return getattr(self._channel, name)

    def unary_stream(self, method: str, *args, **kwargs):  # type: ignore[no-untyped-def]
        call = self._channel.unary_stream(method, *args, **kwargs)
        spoil = self._spoil

        class Answers:
            def __init__(self, request, **values) -> None:  # type: ignore[no-untyped-def]
                self._inner = call(request, **values)

            def __iter__(self):  # type: ignore[no-untyped-def]
                return iter(spoil(self._inner))

            def cancel(self) -> None:
                self._inner.cancel()

        return Answers


def flipped(messages):  # type: ignore[no-untyped-def]
    for message in messages:
        if message.path.endswith("data.mdb") and message.offset == 0:
            message.data = message.data[:5000] + b"\x99" + message.data[5001:]
        yield message


def cut_short(messages):  # type: ignore[no-untyped-def]
    yield from list(messages)[:-1]


def stranger(messages):  # type: ignore[no-untyped-def]
    for message in messages:
        yield message
        if message.path == SUMMARY:
            yield pb.CopyPartitionResponse(path="../../evil", data=b"x")


def out_of_order(messages):  # type: ignore[no-untyped-def]
    for message in messages:
        if message.offset:
            message.offset += 1
        yield message


@pytest.mark.parametrize("spoil", [flipped, cut_short, stranger, out_of_order])
def test_a_copy_that_is_not_what_was_sent_is_not_kept(
    tmp_path: Path,
    rng: np.random.Generator,
    spoil,  # type: ignore[no-untyped-def]
) -> None:
    def connect(address: str) -> grpc.Channel:
        return DamagingChannel(address, spoil)  # type: ignore[return-value]

    with (
        running(tmp_path / "a") as source,
        running(tmp_path / "b", create=False, connect=connect) as target,
    ):
        fill(source, rng, 1200)
        pull = pb.PullPartitionRequest(partition_id="p0", source=source.address)
        outcome = refusal(target.stub.PullPartition, pull)
        assert outcome == ("UNAVAILABLE", "SOURCE_FAILED")
        assert not [*(target.data / "partitions").iterdir()]
        # The source hears of the end a moment later.
        until = time.monotonic() + 20
        while not nothing_left(source):
            assert time.monotonic() < until
            time.sleep(0.01)
        assert not (tmp_path / "evil").exists()


def test_a_partition_that_cannot_be_opened_is_replaced(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    with running(tmp_path / "a") as source, running(tmp_path / "b") as target:
        fill(source, rng)
        fill(target, rng)
    path = tmp_path / "b/partitions/p0/lmdb/data.mdb"
    path.write_bytes(bytes(path.stat().st_size))
    with (
        running(tmp_path / "a") as source,
        running(tmp_path / "b", create=False) as target,
    ):
        describe = pb.DescribePartitionsRequest(partition_ids=["p0"])
        assert refusal(target.stub.DescribePartitions, describe)[0] == "DATA_LOSS"
        assert not target.pull_from(source)[-1].already_held
        assert target.digest() == source.digest()
        kept = [path.name for path in (tmp_path / "b/partitions").iterdir()]
        assert sorted(kept) == [".failed-p0", "p0"]
    with running(tmp_path / "b", create=False) as target:
        assert target.partition.describe().images == 120


def test_dropping(tmp_path: Path, rng: np.random.Generator) -> None:
    with running(tmp_path) as one:
        fill(one, rng)
        drop = pb.DropPartitionRequest(partition_id="p0")
        assert one.stub.DropPartition(drop).dropped
        assert not one.stub.DropPartition(drop).dropped
        put = pb.PutImagesRequest(partition_id="p0")
        assert refusal(one.stub.PutImages, put)[1] == "PARTITION_NOT_FOUND"
        assert not [*(tmp_path / "partitions").iterdir()]
        assert one.shard.create(IDENTITY)
        assert one.partition.describe().images == 0


def test_searches_that_run_end_before_a_partition_is_dropped(
    tmp_path: Path, rng: np.random.Generator, workers: Workers
) -> None:
    inside, go_on, dropped = threading.Event(), threading.Event(), threading.Event()

    def checkpoint() -> None:
        inside.set()
        assert go_on.wait(20)

    with running(tmp_path) as one:
        fill(one, rng, 20)
        partition = one.partition

        def search() -> None:
            answer = partition.search(PartitionQuery(units(rng, 1)[0], 5), FINGERPRINT, checkpoint)
            assert len(answer.hits) == 5

        def drop() -> None:
            assert one.replication.drop("p0")
            dropped.set()

        workers.start(search)
        assert inside.wait(20)
        workers.start(drop)
        request = pb.DescribePartitionsRequest(partition_ids=["p0"])
        until = time.monotonic() + 20
        while one.shard.search(["p0"], [(PartitionQuery(units(rng, 1)[0], 5), FINGERPRINT)])[
            0
        ].hits:
            assert time.monotonic() < until
        assert refusal(one.stub.DescribePartitions, request)[1] == "PARTITION_NOT_FOUND"
        assert not dropped.is_set() and (tmp_path / "partitions/p0").exists()
        assert refusal(one.stub.DropPartition, pb.DropPartitionRequest(partition_id="p0"))[1] == (
            "NOT_READY"
        )
        go_on.set()
        assert dropped.wait(20) and not (tmp_path / "partitions/p0").exists()


@pytest.mark.parametrize(
    "partition_id",
    ["", ".", "..", "../copies", "../../victim", "/tmp", "P0", "p0/lmdb", "x" * 10**5],
)
def test_ids_that_are_no_ids_touch_nothing(tmp_path: Path, partition_id: str) -> None:
    (tmp_path / "victim").mkdir()
    with running(tmp_path / "data") as one:
        (tmp_path / "data/copies").mkdir()
        before = sorted(tmp_path.rglob("*"))
        calls = [
            (one.stub.DropPartition, pb.DropPartitionRequest(partition_id=partition_id)),
            (
                one.stub.PullPartition,
                pb.PullPartitionRequest(partition_id=partition_id, source=one.address),
            ),
            (
                one.stub.SplitPartition,
                pb.SplitPartitionRequest(
                    partition_id="p0", lower_partition_id=partition_id, upper_partition_id="u"
                ),
            ),
        ]
        for call, request in calls:
            assert refusal(call, request) == ("INVALID_ARGUMENT", "PARTITION_INVALID")
        assert sorted(tmp_path.rglob("*")) == before
        assert one.partition.describe().images == 0


@pytest.mark.parametrize("source", ["", "nobody", "unix:/run/x", "a b:1", "h:port", "x" * 999])
def test_sources_that_are_no_addresses_are_refused(tmp_path: Path, source: str) -> None:
    with running(tmp_path) as one:
        repair = pb.RepairPartitionRequest(partition_id="p0", source=source)
        outcome = ("INVALID_ARGUMENT", "SOURCE_INVALID")
        assert refusal(one.stub.RepairPartition, repair) == outcome
        pull = pb.PullPartitionRequest(partition_id="other", source=source)
        assert refusal(one.stub.PullPartition, pull) == outcome
        assert [path.name for path in (tmp_path / "partitions").iterdir()] == ["p0"]
