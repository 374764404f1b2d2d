from __future__ import annotations

from patchsearch.errors import ResourceExhausted, Unavailable
from placement.document import Partition, Replica
from router.replica_states import ReplicaStates

PARTITION = Partition(
    "p0", 0, 9, (Replica("a", "a:1"), Replica("b", "b:1")), (Replica("c", "c:1"),)
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def failing(states: ReplicaStates) -> list[str]:
    return [c.address for c in states.candidates(PARTITION) if c.failing]


def test_one_that_joins_is_no_candidate() -> None:
    assert [c.address for c in ReplicaStates().candidates(PARTITION)] == ["a:1", "b:1"]
    assert [c.address for c in ReplicaStates().candidates(PARTITION, {"a:1"})] == ["b:1"]


def test_a_shard_that_cannot_be_reached_fails_until_it_answers() -> None:
    states = ReplicaStates()
    states.began("a:1", 3)
    states.failed("a:1", 3, 0.1, Unavailable("UNREACHABLE", "gone"))
    assert failing(states) == ["a:1"]
    assert states.failing_count() == 1
    states.seen("a:1")
    assert failing(states) == []
    assert {c.in_flight for c in states.candidates(PARTITION)} == {0}


def test_one_that_was_beaten_is_left_alone_until_it_answers_something() -> None:
    states, looks = ReplicaStates(), []
    states.call_when_failing(lambda: looks.append(1))
    for answers in (lambda: states.seen("a:1"), lambda: states.answered("a:1", 1, 0.01)):
        states.began("a:1", 1)
        states.beaten("a:1")
        states.beaten("a:1")
        assert [c.beaten for c in states.candidates(PARTITION)] == [True, False]
        assert failing(states) == []
        answers()
        assert [c.beaten for c in states.candidates(PARTITION)] == [False, False]
    assert len(looks) == 2, "it is looked at once each time"


def test_three_calls_without_an_answer_in_a_row_are_a_failure() -> None:
    states = ReplicaStates()
    for _ in range(2):
        states.began("a:1", 1)
        states.given_up("a:1", 1, 0.5, late=True)
    states.began("a:1", 1)
    states.answered("a:1", 1, 0.01)
    for _ in range(2):
        states.began("a:1", 1)
        states.given_up("a:1", 1, 0.5, late=True)
    for _ in range(5):
        states.began("a:1", 1)
        states.given_up("a:1", 1, 0.001, late=False)
    assert failing(states) == []
    states.began("a:1", 1)
    states.failed("a:1", 1, 0.5, ResourceExhausted("OVERLOADED", "full"))
    assert failing(states) == ["a:1"]


def test_latencies_are_smoothed_and_what_was_waited_for_in_vain_counts() -> None:
    states = ReplicaStates()
    for seconds in (0.1, 0.2):
        states.began("a:1", 1)
        states.answered("a:1", 1, seconds)
    (first, _) = states.candidates(PARTITION)
    assert 0.1 < first.latency_s < 0.2
    states.began("a:1", 1)
    states.given_up("a:1", 1, 1.0, late=True)
    (second, _) = states.candidates(PARTITION)
    assert second.latency_s > first.latency_s


def test_a_replica_is_behind_until_a_look_that_began_later_finds_nothing_missing() -> None:
    clock = Clock()
    states = ReplicaStates(clock)
    clock.now = 5.0
    states.missed("p0", "b:1")
    assert [c.behind for c in states.candidates(PARTITION)] == [False, True]
    states.caught_up("p0", "b:1", as_of=4.0)
    assert states.behind("p0", "b:1")
    states.caught_up("p0", "b:1", as_of=6.0)
    assert not states.behind("p0", "b:1")


def test_what_the_placement_no_longer_names_is_forgotten() -> None:
    states = ReplicaStates()
    states.missed("p0", "b:1")
    states.missed("p1", "b:1")
    states.unseen("z:1")
    states.keep([("p0", "a:1"), ("p0", "b:1")])
    assert states.behind_count() == 1
    assert states.failing_count() == 0
