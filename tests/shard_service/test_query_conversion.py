"""A shard's query from its message: what is left out, what is filled in, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from patchsearch import Field
from patchsearch.errors import InvalidArgument
from patchsearch.shard.v1.shard_service_pb2 import SearchPartitionsRequest
from patchsearch.wire.filters import filter_to_proto
from patchsearch.wire.vectors import vector_to_proto
from shard_service.conversion import query_from_proto


def request(**fields: object) -> SearchPartitionsRequest:
    vector = vector_to_proto(np.eye(4, dtype=np.float32)[0], "f")
    return SearchPartitionsRequest(vector=vector, k=3, **fields)  # type: ignore[arg-type]


def test_what_is_left_out_is_the_profiles_default() -> None:
    query = query_from_proto(request())
    assert (query.ef, query.nprobe, query.oversample, query.filter) == (None, None, None, None)


def test_filter_and_effort_arrive_as_they_were_sent() -> None:
    filter = Field("weather").is_in("snow", 1, True) & ~Field("indoors").exists()
    query = query_from_proto(request(filter=filter_to_proto(filter), ef=4096, nprobe=65536))
    assert (query.ef, query.nprobe) == (4096, 65536)
    assert query.filter == filter
    assert hash(query.filter) == hash(filter)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"ef": 0}, "EF_OUT_OF_RANGE"),
        ({"ef": 4097}, "EF_OUT_OF_RANGE"),
        ({"nprobe": 0}, "NPROBE_OUT_OF_RANGE"),
        ({"nprobe": 65537}, "NPROBE_OUT_OF_RANGE"),
        ({"filter": {}}, "FILTER_INVALID"),
        ({"filter": {"match": {"field": "a"}}}, "FILTER_INVALID"),
        ({"oversample": 0.5}, "OVERSAMPLE_OUT_OF_RANGE"),
    ],
)
def test_what_is_beyond_its_limits_is_refused(fields: dict[str, object], reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        query_from_proto(request(**fields))
    assert caught.value.reason == reason
