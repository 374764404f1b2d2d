"""An image whose records are damaged is mended by ingesting it again, and the rest serves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.v1.search_service_pb2 import INGEST_OUTCOME_STORED as STORED
from patchsearch.v1.search_service_pb2 import INGEST_OUTCOME_UNCHANGED as UNCHANGED
from tests.contract.cluster import Cluster, refused
from tests.contract.fake_encoder import photo, vector_of
from tests.contract.test_ingest import BOX, image, ingest, sha

URI = "s3://somewhere/that-is-found-in-a-file"


def spoil(directory: Path, content: bytes) -> None:
    """Changes a byte of `content` wherever the store has it."""
    path = directory / "lmdb" / "data.mdb"
    data = path.read_bytes()
    assert content in data
    path.write_bytes(data.replace(content, bytes([content[0] ^ 1, *content[1:]])))


@pytest.mark.parametrize(
    "content",
    [vector_of(1).astype(np.float16).tobytes(), URI.encode()],
    ids=["patch-record", "image-record"],
)
def test_ingesting_a_damaged_image_again_mends_it(
    own_cluster: Cluster, tmp_path: Path, content: bytes
) -> None:
    door = own_cluster.door
    sent = photo([(BOX, 1)])
    asked = image("a", content=sent, digest=sha(sent), uri=URI)
    assert [one.outcome for one in ingest(door, asked)] == [STORED]
    door.put("b", [(BOX, 2)])
    shard = own_cluster.shard_of("a")
    own_cluster.stop_shard(shard)
    spoil(tmp_path / f"shard-{shard}" / "partitions" / f"p{shard}", content)
    own_cluster.start_shard(shard)

    def damaged() -> int:
        answer = door.stub.DescribeCollection(pb.DescribeCollectionRequest(), timeout=10)
        return sum(one.damaged_images for one in answer.partitions)

    assert damaged() == 1
    assert [hit.image_id for hit in door.search(vector_of(2), 5)] == ["b"]
    get = pb.GetImageRequest(image_id="a")
    assert refused(door.stub.GetImage, get).reason == "STORE_CORRUPT"
    # With its digest, as whoever goes on with a folder sends it.
    assert [one.outcome for one in ingest(door, asked)] == [STORED]
    assert damaged() == 0
    assert {hit.image_id for hit in door.search(vector_of(1), 5)} == {"a", "b"}
    assert [one.outcome for one in ingest(door, asked)] == [UNCHANGED]
