"""The gRPC face, against a real server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import xxhash
from google.protobuf import json_format
from numpy.typing import NDArray

from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from patchsearch.v1 import types_pb2
from patchsearch.wire.status import error_from_rpc, error_from_status
from patchsearch.wire.vectors import matrix_from_proto, matrix_to_proto, vector_to_proto
from service_runtime.clients import open_channel
from service_runtime.server import ServiceServer
from shard_service.conversion import write_from_proto
from shard_service.options import PartitionOptions
from shard_service.search.query import PartitionQuery
from shard_service.servicer import shard_service
from shard_service.settings import ShardSettings
from shard_service.shard import Shard
from shard_service.store.meta import Identity
from tests.shard_service.material import DIM, FINGERPRINT, units

HALF = 1 << 63


def hashed(image_id: str) -> int:
    return xxhash.xxh64_intdigest(image_id.encode())


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[ShardServiceStub]:
    options = PartitionOptions(seal_patches=10**9, min_train_patches=300, map_bytes=1 << 20)
    shard = Shard(tmp_path, options)
    shard.open()
    settings = ShardSettings(data=tmp_path, port=0, log_level="error")
    with ServiceServer(settings, [shard_service(shard)]) as server:
        channel = open_channel(server.address)
        yield ShardServiceStub(channel)
        channel.close()
    shard.close()


def create(stub: ShardServiceStub, partition_id: str = "p0", **values: object) -> bool:
    request = {
        "hash_start": 0,
        "hash_end": 2 * HALF - 1,
        "fingerprint": FINGERPRINT,
        "encoder": "test-encoder",
        "dim": DIM,
        **values,
    }
    return stub.CreatePartition(
        pb.CreatePartitionRequest(partition_id=partition_id, **request)  # type: ignore[arg-type]
    ).created


def message(
    image_id: str, vectors: NDArray[np.float32], *, version: int = 1, fingerprint: str = FINGERPRINT
) -> pb.StoredImage:
    image = pb.StoredImage(
        image_id=image_id, version=version, uri=f"s3://{image_id}", width=4000, height=300
    )
    image.metadata.update({"camera": image_id, "n": 3, "tags": ["a", "b"]})
    for at in range(len(vectors)):
        box = types_pb2.Box(x=100 * at, y=5, w=100, h=90)
        image.patches.add(box=box, level=1 + at % 2, selection_score=0.25 * at)
    image.vectors.CopyFrom(matrix_to_proto(vectors, fingerprint))
    return image


def search(stub: ShardServiceStub, vector: NDArray[np.float32], *ids: str, **values: object):  # type: ignore[no-untyped-def]
    fingerprint = str(values.pop("fingerprint", FINGERPRINT))
    request = {"k": 16, **values}
    return stub.SearchPartitions(
        pb.SearchPartitionsRequest(
            partition_ids=ids or ["p0"],
            vector=vector_to_proto(vector, fingerprint),
            **request,  # type: ignore[arg-type]
        )
    )


def refused(call, *args, **kwargs) -> tuple[str, str]:  # type: ignore[no-untyped-def]
    with pytest.raises(grpc.RpcError) as raised:
        call(*args, **kwargs)
    error = error_from_rpc(raised.value)
    return error.code, error.reason


def test_what_is_put_is_found_and_read_back(
    stub: ShardServiceStub, rng: np.random.Generator
) -> None:
    assert create(stub) and not create(stub)
    vectors = units(rng, 3)
    sent = message("дом/1", vectors, version=5)
    assert stub.PutImages(pb.PutImagesRequest(partition_id="p0", images=[sent])).applied == [True]
    assert stub.PutImages(pb.PutImagesRequest(partition_id="p0", images=[sent])).applied == [False]

    hit = search(stub, vectors[1]).hits[0]
    assert (hit.image_id, hit.uri, hit.level) == ("дом/1", "s3://дом/1", 2)
    assert (hit.box.x, hit.box.y, hit.box.w, hit.box.h) == (100, 5, 100, 90)
    assert (hit.image_width, hit.image_height) == (4000, 300)
    assert hit.score_kind == types_pb2.SCORE_KIND_EXACT and hit.score > 0.99
    assert json_format.MessageToDict(hit.metadata)["tags"] == ["a", "b"]

    got = stub.GetImages(
        pb.GetImagesRequest(partition_id="p0", image_ids=["no", "дом/1"], include_vectors=True)
    ).images
    assert len(got) == 1
    np.testing.assert_array_equal(matrix_from_proto(got[0].vectors), vectors.astype(np.float16))
    got[0].ClearField("vectors")
    sent.ClearField("vectors")
    assert got[0] == sent
    listed = stub.ListImages(pb.ListImagesRequest(partition_id="p0", page_size=10)).images
    assert [(one.image.image_id, one.patch_count) for one in listed] == [("дом/1", 3)]

    deletion = pb.DeleteImagesRequest(partition_id="p0", image_ids=["дом/1", "no"], version=6)
    assert stub.DeleteImages(deletion).deleted == [True, False]
    assert not search(stub, vectors[1]).hits


def test_a_shard_merges_its_partitions_and_reports_each(
    stub: ShardServiceStub, rng: np.random.Generator
) -> None:
    create(stub, "low", hash_end=HALF - 1)
    create(stub, "high", hash_start=HALF)
    create(stub, "all")
    for number in range(30):
        image = message(f"i{number}", units(rng, 4))
        home = "high" if hashed(image.image_id) >= HALF else "low"
        for partition_id in (home, "all"):
            stub.PutImages(pb.PutImagesRequest(partition_id=partition_id, images=[image]))
    query = units(rng, 1)[0]
    merged = search(stub, query, "low", "high", "low", "gone", k=20)
    assert [hit.image_id for hit in merged.hits] == [
        hit.image_id for hit in search(stub, query, "all", k=20).hits
    ]
    assert [one.partition_id for one in merged.partitions] == ["low", "high", "gone"]
    assert sum(one.patches for one in merged.partitions) == 120
    assert error_from_status(merged.partitions[2].error).reason == "PARTITION_NOT_FOUND"
    assert not merged.partitions[0].HasField("error")
    other = search(stub, query, fingerprint="0" * 32)
    assert error_from_status(other.partitions[0].error).reason == "PARTITION_NOT_FOUND"
    other = search(stub, query, "all", fingerprint="0" * 32)
    assert error_from_status(other.partitions[0].error).reason == "ENCODER_MISMATCH"


def test_searches_refuse_what_is_malformed(
    stub: ShardServiceStub, rng: np.random.Generator
) -> None:
    create(stub)
    vector = units(rng, 1)[0]
    for k in (0, 1001, 10**6):
        assert refused(search, stub, vector, k=k) == ("INVALID_ARGUMENT", "K_OUT_OF_RANGE")
    for bad in (units(rng, 1, DIM + 1)[0], 5 * vector, 0 * vector):
        assert refused(search, stub, bad) == ("INVALID_ARGUMENT", "VECTOR_INVALID")
    spoiled = vector_to_proto(vector, FINGERPRINT)
    spoiled.data = np.full(DIM, np.nan, "<f4").tobytes()
    request = pb.SearchPartitionsRequest(partition_ids=["p0"], vector=spoiled, k=1)
    assert refused(stub.SearchPartitions, request) == ("INVALID_ARGUMENT", "VECTOR_INVALID")
    for oversample in (0.0, 0.5, 1e9, float("nan")):
        answer = refused(search, stub, vector, oversample=oversample)
        assert answer == ("INVALID_ARGUMENT", "OVERSAMPLE_OUT_OF_RANGE")
    assert refused(search, stub, vector, score_threshold=float("nan")) == (
        "INVALID_ARGUMENT",
        "SCORE_THRESHOLD_INVALID",
    )


def test_further_queries_are_answered_in_their_order(
    stub: ShardServiceStub, rng: np.random.Generator
) -> None:
    create(stub)
    vectors = units(rng, 5)
    images = [message(f"i{at}", vectors[at : at + 1]) for at in range(5)]
    stub.PutImages(pb.PutImagesRequest(partition_id="p0", images=images))
    asked = [
        pb.SearchPartitionsRequest(vector=vector_to_proto(vector, FINGERPRINT), k=1)
        for vector in vectors
    ]
    asked[0].partition_ids[:] = ["p0", "elsewhere"]
    asked[0].further_queries.extend(asked[1:])
    answer = stub.SearchPartitions(asked[0])
    answers = [answer, *answer.further_answers]
    assert [[hit.image_id for hit in one.hits] for one in answers] == [[f"i{n}"] for n in range(5)]
    for one in answers:
        told = {result.partition_id: result for result in one.partitions}
        assert told["p0"].patches == 5
        assert error_from_status(told["elsewhere"].error).reason == "PARTITION_NOT_FOUND"
        assert not one.further_answers or one is answer
    asked[0].further_queries.extend(asked[1:] * 15)
    assert refused(stub.SearchPartitions, asked[0]) == ("INVALID_ARGUMENT", "BATCH_OUT_OF_RANGE")
    del asked[0].further_queries[1:]
    asked[0].further_queries[0].k = 0
    assert refused(stub.SearchPartitions, asked[0]) == ("INVALID_ARGUMENT", "K_OUT_OF_RANGE")


@pytest.mark.parametrize("takes_long", [False, True])
def test_searches_of_a_call_run_side_by_side_if_they_take_long(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, takes_long: bool
) -> None:
    if takes_long:
        monkeypatch.setattr("shard_service.shard._WORTH_A_THREAD_S", 0.0)
    options = PartitionOptions(seal_patches=10**9, min_train_patches=300, map_bytes=1 << 20)
    shard = Shard(tmp_path, options, search_threads=2)
    shard.open()
    shard.create(Identity("p0", 0, 2 * HALF - 1, FINGERPRINT, "test", DIM))
    vectors = units(rng, 6)
    for at in range(6):
        shard.partition("p0").put(
            [write_from_proto(message(f"i{at}", vectors[at : at + 1]))], FINGERPRINT
        )
    threads: set[int] = set()
    met = threading.Event()

    def checkpoint() -> None:
        threads.add(threading.get_ident())
        if len(threads) == 1 + takes_long:
            met.set()
        assert met.wait(10)

    queries = [(PartitionQuery(vector, 1), FINGERPRINT) for vector in vectors]
    answers = shard.search(["p0"], queries, checkpoint)
    assert [one.hits[0].image.image_id for one in answers] == [b"i%d" % at for at in range(6)]
    assert len(threads) == 1 + takes_long
    shard.close()


def test_writes_refuse_what_is_malformed(stub: ShardServiceStub, rng: np.random.Generator) -> None:
    create(stub, hash_end=HALF - 1)
    ids = [f"i{n}" for n in range(50)]
    inside = next(one for one in ids if hashed(one) < HALF)
    outside = next(one for one in ids if hashed(one) >= HALF)

    def put(*images: pb.StoredImage, partition_id: str = "p0") -> tuple[str, str]:
        request = pb.PutImagesRequest(partition_id=partition_id, images=images)
        return refused(stub.PutImages, request)

    good = message(inside, units(rng, 2))
    assert put(good, message(outside, units(rng, 1))) == ("INVALID_ARGUMENT", "HASH_OUT_OF_RANGE")
    assert put(message("x" * 512, units(rng, 1)))[1] == "IMAGE_ID_INVALID"
    assert put(message("", units(rng, 1)))[1] == "IMAGE_ID_INVALID"
    short = message(inside, units(rng, 2))
    short.patches.add(box=short.patches[0].box, level=1)
    assert put(short)[1] == "PATCHES_INVALID"
    twice = message(inside, units(rng, 2))
    twice.patches[1].box.CopyFrom(twice.patches[0].box)
    assert put(twice)[1] == "PATCHES_INVALID"
    for level in (0, 65536):
        wrong = message(inside, units(rng, 1))
        wrong.patches[0].level = level
        assert put(wrong)[1] == "PATCHES_INVALID"
    assert put(message(inside, units(rng, 1, DIM * 2)))[1] == "VECTOR_INVALID"
    foreign = message(inside, units(rng, 1), fingerprint="0" * 32)
    assert put(good, foreign) == ("FAILED_PRECONDITION", "ENCODER_MISMATCH")
    assert put() == ("INVALID_ARGUMENT", "BATCH_OUT_OF_RANGE")
    assert put(good, partition_id="gone") == ("NOT_FOUND", "PARTITION_NOT_FOUND")
    assert stub.DescribePartitions(pb.DescribePartitionsRequest()).partitions[0].images == 0


def test_partitions_are_created_once_and_for_one_encoder(stub: ShardServiceStub) -> None:
    create(stub, "p0", hash_end=HALF)
    assert refused(create, stub, "p0") == ("FAILED_PRECONDITION", "PARTITION_EXISTS")
    other = refused(create, stub, "p0", hash_end=HALF, fingerprint="0" * 32)
    assert other == ("FAILED_PRECONDITION", "ENCODER_MISMATCH")
    with pytest.raises(grpc.RpcError) as raised:
        create(stub, "p0", hash_end=HALF, fingerprint="0" * 32, encoder="newer-encoder")
    assert "test-encoder" in error_from_rpc(raised.value).message
    assert "newer-encoder" in error_from_rpc(raised.value).message
    for bad in ("", "P0", "a/b", "..", "x" * 65):
        assert refused(create, stub, bad) == ("INVALID_ARGUMENT", "PARTITION_INVALID")
    assert refused(create, stub, "p1", hash_start=5, hash_end=4)[1] == "PARTITION_INVALID"
    assert refused(create, stub, "p1", dim=0)[1] == "PARTITION_INVALID"
    described = stub.DescribePartitions(pb.DescribePartitionsRequest()).partitions
    assert [(one.partition_id, one.encoder, one.dim) for one in described] == [
        ("p0", "test-encoder", DIM)
    ]


def test_sealing_over_the_wire(stub: ShardServiceStub, rng: np.random.Generator) -> None:
    create(stub)
    seal = pb.SealPartitionRequest(partition_id="p0")
    images = [message(f"i{n}", units(rng, 10)) for n in range(20)]
    stub.PutImages(pb.PutImagesRequest(partition_id="p0", images=images))
    assert refused(stub.SealPartition, seal) == ("FAILED_PRECONDITION", "PARTITION_TOO_SMALL")
    images = [message(f"j{n}", units(rng, 10)) for n in range(20)]
    stub.PutImages(pb.PutImagesRequest(partition_id="p0", images=images))
    assert stub.SealPartition(seal).sealed_patches == 400
    state = stub.DescribePartitions(pb.DescribePartitionsRequest(partition_ids=["p0"])).partitions[
        0
    ]
    assert (state.sealed_segments, state.profile, state.patches) == (1, "graph", 400)
    assert (state.growing_patches, state.activity) == (0, "")


def test_page_and_batch_limits(stub: ShardServiceStub) -> None:
    create(stub)
    for size in (0, 1001):
        request = pb.ListImagesRequest(partition_id="p0", page_size=size)
        assert refused(stub.ListImages, request)[1] == "PAGE_SIZE_OUT_OF_RANGE"
    for ids in ([], ["a"] * 1001):
        get = pb.GetImagesRequest(partition_id="p0", image_ids=ids)
        assert refused(stub.GetImages, get)[1] == "BATCH_OUT_OF_RANGE"
        delete = pb.DeleteImagesRequest(partition_id="p0", image_ids=ids)
        assert refused(stub.DeleteImages, delete)[1] == "BATCH_OUT_OF_RANGE"
    missing = pb.DescribePartitionsRequest(partition_ids=["gone"])
    assert refused(stub.DescribePartitions, missing)[1] == "PARTITION_NOT_FOUND"
