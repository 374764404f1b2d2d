"""Where a shard fetches from when somebody names an address."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from patchsearch.errors import PermissionDenied
from patchsearch.shard.v1 import shard_service_pb2 as pb
from shard_service.replication.peers import Peers
from tests.shard_service.replica_shards import fill, refusal, running

LISTED = Peers(["10.1.0.0/16", "192.0.2.7", "shard-*.example", "fd00::/8"])


@pytest.mark.parametrize(
    "address",
    ["10.1.2.3:7101", "192.0.2.7:1", "shard-3.example:7101", "SHARD-4.Example:1", "[fd00::1]:7101"],
)
def test_what_is_listed_is_allowed(address: str) -> None:
    LISTED.check(address)


@pytest.mark.parametrize(
    "address",
    [
        *("10.2.0.1:7101", "192.0.2.8:1", "shard-3.example.org:7101", "localhost:1"),
        *("127.0.0.1:7101", "169.254.169.254:80", "[2001:db8::1]:7101", "10.1.2.3.example:1"),
    ],
)
def test_what_is_not_listed_is_refused(address: str) -> None:
    with pytest.raises(PermissionDenied, match="--peers") as caught:
        LISTED.check(address)
    assert caught.value.reason == "SOURCE_NOT_ALLOWED"


def test_without_tls_it_stays_on_this_machine() -> None:
    plain = Peers(elsewhere=False)
    for address in ("127.0.0.1:7101", "localhost:1", "[::1]:7101"):
        plain.check(address)
    with pytest.raises(PermissionDenied, match=r"without TLS; give it --tls-ca"):
        plain.check("10.1.2.3:7101")
    Peers().check("10.1.2.3:7101")


def test_a_shard_dials_nobody_else(tmp_path: Path, rng: np.random.Generator) -> None:
    refused = ("PERMISSION_DENIED", "SOURCE_NOT_ALLOWED")
    with (
        running(tmp_path / "a") as source,
        running(tmp_path / "b", peers=Peers(["10.0.0.0/8"])) as closed,
        running(tmp_path / "c", peers=Peers(["127.0.0.0/8"])) as listed,
    ):
        fill(source, rng, 10)
        pull = pb.PullPartitionRequest(partition_id="other", source=source.address)
        assert refusal(closed.stub.PullPartition, pull) == refused
        repair = pb.RepairPartitionRequest(partition_id="p0", source=source.address)
        assert refusal(closed.stub.RepairPartition, repair) == refused
        assert listed.repair_from(source) == (10, 0)
