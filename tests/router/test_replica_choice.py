from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from placement.document import Partition, Replica
from router.replica_choice import Candidate, assign, preferred

candidates = st.builds(
    Candidate,
    st.sampled_from(["a:1", "b:1", "c:1"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 3),
    st.floats(0, 1),
)


def test_the_least_busy_is_asked_then_the_quickest() -> None:
    busy, slow, quick = (
        Candidate("busy:1", in_flight=2, latency_s=0.001),
        Candidate("slow:1", in_flight=1, latency_s=0.5),
        Candidate("quick:1", in_flight=1, latency_s=0.1),
    )
    assert preferred([busy, slow, quick]) is quick
    assert preferred([]) is None


@given(st.lists(candidates, min_size=1, max_size=5))
def test_one_that_fails_or_is_behind_is_the_last_resort(given: list[Candidate]) -> None:
    chosen = preferred(given)
    assert chosen is not None
    if chosen.failing:
        assert all(c.failing for c in given)
    elif chosen.behind:
        assert all(c.behind or c.failing for c in given)
    elif chosen.beaten:
        assert all(c.behind or c.failing or c.beaten for c in given)


def partition(name: str, *addresses: str) -> Partition:
    return Partition(name, 0, 1, tuple(Replica(a, a) for a in addresses))


def test_partitions_are_spread_evenly_and_grouped_by_shard() -> None:
    partitions = [partition(f"p{n}", *(f"s{(n + r) % 3}:1" for r in range(2))) for n in range(12)]
    groups, left_out = assign(
        partitions, lambda p: [Candidate(replica.address) for replica in p.replicas]
    )
    assert not left_out
    assert {address: len(own) for address, own in groups.items()} == {
        "s0:1": 4,
        "s1:1": 4,
        "s2:1": 4,
    }
    for address, own in groups.items():
        assert all(address in {r.address for r in p.replicas} for p in own)


def test_partitions_without_a_candidate_are_told() -> None:
    lost = partition("lost", "a:1")
    groups, left_out = assign([lost], lambda p: [])
    assert (groups, left_out) == ({}, [lost])
