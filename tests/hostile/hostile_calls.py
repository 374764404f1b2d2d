"""Hostile calls: written by hand, and generated for every field of every message."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import cycle

import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from patchsearch.encoder.v1 import encoder_service_pb2 as encoder_pb
from patchsearch.shard.v1 import shard_service_pb2 as shard_pb
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.v1 import types_pb2
from tests.hostile.raw_calls import RawCall, method, methods

LONG = "x" * 100_000
TRAVERSAL = "../../../../etc/passwd"
_STRINGS = ("", LONG, TRAVERSAL, "a\x00b", "\u202e\U0001f4a5", "-", "p0 ", "127.0.0.1:1", "/etc")
_INTS = (0, 1, -1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1, -(2**31), -(2**63))
_FLOATS = (0.0, -1.0, 1e308, -1e308, float("nan"), float("inf"), float("-inf"), 1e-320)
_ADMIN_METHODS = {"DropPartition", "FencePartition", "SplitPartition"}
"""What an operator may rightly do to a partition; here it goes to partitions that are not there."""


def hostile_calls(
    count: int, seed: int, *, fingerprint: str, partition: str, image: bytes
) -> Iterator[RawCall]:
    """`count` calls: those written by hand once, then generated ones, the same for a seed.

    The fingerprint and partition are those of the collection, so that calls get past the first
    check; `image` is a sound one.
    """
    number = 0
    for call in _by_hand(fingerprint, partition, image):
        if number == count:
            return
        yield call
        number += 1
    rng = np.random.default_rng(seed)
    targets = cycle([(server, m) for server, all_ in methods().items() for m in all_])
    while number < count:
        server, target = next(targets)
        kind = number // 3 % 3
        if kind == 0:
            messages = tuple(rng.bytes(int(rng.integers(1, 300))) for _ in range(3))
            name = "random bytes"
        else:
            known = "none" if target.name in _ADMIN_METHODS else partition
            built = [_random(target.input_type, rng, known, fingerprint) for _ in range(3)]
            messages = tuple(message.SerializeToString() for message in built)
            name = "random fields"
            if kind == 2:
                messages = tuple(_flipped(message, rng) for message in messages)
                name = "random fields with bytes flipped"
        yield RawCall(f"{name} to {target.name}", server, target, messages)
        number += 1


def _vectors(fingerprint: str) -> Iterator[tuple[str, types_pb2.Vector]]:
    def vector(numbers: list[float], dtype: int = 1, dim: int | None = None) -> types_pb2.Vector:
        data = struct.pack(f"<{len(numbers)}f", *numbers)
        size = len(numbers) if dim is None else dim
        return types_pb2.Vector(data=data, dtype=dtype, dim=size, fingerprint=fingerprint)

    for name, value in (("NaN", float("nan")), ("inf", float("inf")), ("0", 0.0), ("1e38", 1e38)):
        yield name, vector([value] * 512)
    yield "511 numbers", vector([0.1] * 511)
    yield "dim 2^32 - 1", vector([0.1] * 512, dim=2**32 - 1)
    yield "dim 0", vector([0.1] * 512, dim=0)
    yield "dtype 0", vector([0.1] * 512, dtype=0)
    yield "dtype 77", vector([0.1] * 512, dtype=77)
    yield "half the bytes", vector([0.1] * 256, dim=512)
    yield "denormal", vector([1e-45] * 512)
    other = vector([0.1] * 512)
    other.fingerprint = LONG
    yield "another encoder", other
    yield "4 million numbers", vector([0.1] * 4_000_000)


def _sound(fingerprint: str) -> types_pb2.Vector:
    numbers = np.full(512, 512**-0.5, dtype="<f4")
    return types_pb2.Vector(data=numbers.tobytes(), dtype=1, dim=512, fingerprint=fingerprint)


def _by_hand(fingerprint: str, partition: str, image: bytes) -> Iterator[RawCall]:
    def call(name: str, server: str, target: str, *sent: Message, **more: bool) -> RawCall:
        messages = tuple(message.SerializeToString() for message in sent)
        return RawCall(f"{target}: {name}", server, method(server, target), messages, **more)

    def search(**fields: object) -> pb.SearchRequest:
        term = types_pb2.Term(vector=_sound(fingerprint))
        return pb.SearchRequest(terms=[term], **fields)  # type: ignore[arg-type]

    for name, vector in _vectors(fingerprint):
        term = types_pb2.Term(vector=vector)
        yield call(name, "router", "Search", pb.SearchRequest(terms=[term]))
        asked = shard_pb.SearchPartitionsRequest(partition_ids=[partition], vector=vector, k=4)
        yield call(name, "shard", "SearchPartitions", asked)
        stored = shard_pb.StoredImage(image_id="hostile", version=1, width=9, height=9)
        stored.patches.add(box=types_pb2.Box(w=9, h=9), level=1)
        matrix = stored.vectors
        matrix.data, matrix.dtype, matrix.rows = vector.data, vector.dtype, 1
        matrix.dim, matrix.fingerprint = vector.dim, vector.fingerprint
        put = shard_pb.PutImagesRequest(partition_id=partition, images=[stored])
        yield call(name, "shard", "PutImages", put)
    for k in (0, 1001, 2**31, 2**32 - 1):
        yield call(f"k = {k}", "router", "Search", search(k=k))
        asked = shard_pb.SearchPartitionsRequest(
            partition_ids=[partition], vector=_sound(fingerprint), k=k
        )
        yield call(f"k = {k}", "shard", "SearchPartitions", asked)
    for field in ("score_threshold", "min_coverage", "oversample"):
        for value in (float("nan"), float("inf"), -1e30):
            yield call(f"{field} = {value}", "router", "Search", search(**{field: value}))
    for field in ("ef", "nprobe"):
        yield call(f"{field} = 2^32 - 1", "router", "Search", search(**{field: 2**32 - 1}))
    weighted = types_pb2.Term(vector=_sound(fingerprint), weight=float("nan"))
    yield call("weight NaN", "router", "Search", pb.SearchRequest(terms=[weighted]))
    yield call("no terms", "router", "Search", pb.SearchRequest())
    yield call("20000 terms", "router", "Search", pb.SearchRequest(
        terms=[types_pb2.Term(text="x")] * 20_000
    ))  # fmt: skip
    yield call("10^4 requests", "router", "BatchSearch", pb.BatchSearchRequest(
        requests=[search()] * 10_000
    ))  # fmt: skip
    for name, image_id in (("10^5 bytes", LONG), ("traversal", TRAVERSAL), ("zero", "a\x00b")):
        yield call(name, "router", "GetImage", pb.GetImageRequest(image_id=image_id))
        yield call(name, "router", "DeleteImages", pb.DeleteImagesRequest(image_ids=[image_id]))
        yield call(name, "router", "ListImages", pb.ListImagesRequest(prefix=image_id))
        yield call(name, "router", "ListImages", pb.ListImagesRequest(page_token=image_id))
        sent = pb.IngestImagesRequest(image_id=image_id, content=image, uri=image_id)
        yield call(name, "router", "IngestImages", sent)
        yield call(name, "shard", "CreatePartition", shard_pb.CreatePartitionRequest(
            partition_id=image_id, hash_end=2**64 - 1, fingerprint=fingerprint, dim=512
        ))  # fmt: skip
        for target in ("DropPartition", "CopyPartition", "SealPartition"):
            request = GetMessageClass(method("shard", target).input_type)()
            request.partition_id = image_id  # type: ignore[attr-defined]
            yield call(name, "shard", target, request)
    yield call("path", "shard", "SnapshotPartition", shard_pb.SnapshotPartitionRequest(
        partition_id=partition, destination=TRAVERSAL
    ))  # fmt: skip
    yield call("page of 2^31", "router", "ListImages", pb.ListImagesRequest(page_size=2**31))
    yield call("10^5 ids", "router", "DeleteImages", pb.DeleteImagesRequest(
        image_ids=["a"] * 100_000
    ))  # fmt: skip
    yield call("selector", "encoder", "SelectAndEncode", encoder_pb.SelectAndEncodeRequest(
        image=image, selector=LONG
    ))  # fmt: skip
    box = types_pb2.Box(x=-(2**31), y=2**31 - 1, w=2**31 - 1, h=2**31 - 1)
    yield call("box", "encoder", "EncodeCrops", encoder_pb.EncodeCropsRequest(
        crops=[encoder_pb.CropImage(image=image, box=box)]
    ))  # fmt: skip
    yield call("text of 16 MB", "encoder", "EncodeTexts", encoder_pb.EncodeTextsRequest(
        texts=["ambulance " * (16 << 17)]
    ))  # fmt: skip
    yield call("10^5 texts", "encoder", "EncodeTexts", encoder_pb.EncodeTextsRequest(
        texts=["a"] * 100_000
    ))  # fmt: skip
    deep = types_pb2.Filter(exists="a")
    for _ in range(40):
        deep = types_pb2.Filter(negated=deep)
    yield call("deep filter", "router", "Search", search(filter=deep))
    for size, compressed in (
        (70 << 20, False),
        (70 << 20, True),
        (60 << 20, True),
        (200 << 20, True),
    ):
        name = f"{size >> 20} MB{' in a gzip bomb' if compressed else ''}"
        big = encoder_pb.SelectAndEncodeRequest(image=bytes(size))
        yield call(name, "encoder", "SelectAndEncode", big, compressed=compressed)
        sent = pb.IngestImagesRequest(image_id="big", content=bytes(size))
        yield call(name, "router", "IngestImages", sent, compressed=compressed)


def _random(
    descriptor: Descriptor,
    rng: np.random.Generator,
    partition: str,
    fingerprint: str,
    depth: int = 0,
) -> Message:
    """A message with most of its fields set, to values that hurt."""
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if rng.random() < 0.25:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        count = int(rng.choice([1, 2, 5])) if field.is_repeated else 1
        for _ in range(count):
            _set(message, field, rng, partition, fingerprint, depth)
    return message


def _set(
    message: Message, field: FieldDescriptor, rng: np.random.Generator, partition: str,
    fingerprint: str, depth: int,
) -> None:  # fmt: skip
    if field.message_type is not None:
        if depth < 6:
            value = _random(field.message_type, rng, partition, fingerprint, depth + 1)
            target = getattr(message, field.name)
            target.add().CopyFrom(value) if field.is_repeated else target.CopyFrom(value)
        return
    value = _scalar(field, rng, partition, fingerprint)
    try:
        if field.is_repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)
    except ValueError:  # out of the field's range
        pass


def _scalar(
    field: FieldDescriptor, rng: np.random.Generator, partition: str, fingerprint: str
) -> object:
    def one(values: tuple) -> object:
        return values[int(rng.integers(len(values)))]

    if field.name in ("partition_id", "partition_ids") and rng.random() < 0.8:
        return partition
    if field.name == "fingerprint" and rng.random() < 0.8:
        return fingerprint
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        if field.type == FieldDescriptor.TYPE_BYTES:
            return rng.bytes(int(one((0, 1, 16, 2048, 5000))))  # type: ignore[call-overload]
        return one(_STRINGS)
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return one(_FLOATS)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return bool(rng.random() < 0.5)
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return int(rng.integers(0, 5))
    return one(_INTS)


def _flipped(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for at in rng.integers(0, max(1, len(data)), 8):
        if at < len(changed):
            changed[at] = int(rng.integers(256))
    return bytes(changed)
