"""Every peer that is installed finds what there is, through the same door."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.index_bench.engine import EngineSpec
from evaluation.index_bench.registry import PEERS, chosen_peers, is_installed
from evaluation.index_bench.synthetic import synthetic_table
from evaluation.index_bench.truth import exact_truth
from patchsearch.errors import InvalidArgument


@pytest.mark.parametrize("spec", PEERS, ids=lambda spec: str(spec.name))
def test_a_peer_finds_the_nearest(spec: EngineSpec, tmp_path: Path) -> None:
    if not is_installed(spec):
        pytest.skip(f"{spec.needs} is not installed")
    table = synthetic_table(1000, 64, 20, 1, tmp_path)
    truth = exact_truth(table.mapped(), table.queries, 16)
    directory = tmp_path / "built"
    directory.mkdir()
    assert spec.load().build(table.vectors, directory, 1).build_s > 0
    engine = spec.load()
    engine.open(directory, 1)
    answers = [engine.search(query, 16, spec.efforts[-1]) for query in table.queries]
    assert truth.recall(answers, table.queries, table.mapped()) >= 0.98
    least = [engine.search(query, 16, spec.efforts[0]) for query in table.queries]
    assert truth.recall(least, table.queries, table.mapped()) >= 0.5


def test_peers_are_chosen_by_name_or_family() -> None:
    assert chosen_peers("none") == []
    assert chosen_peers("all") == list(PEERS)
    assert [peer.name for peer in chosen_peers("qdrant, hnswlib")] == [
        "hnswlib",
        "qdrant-int8",
        "qdrant-mapped",
    ]
    with pytest.raises(InvalidArgument, match="hnswlib"):
        chosen_peers("hnswlib,nobody")
