"""What the index of every profile is, and how many of the nearest rows it finds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from patchsearch.errors import Unavailable
from shard_service.index.faiss_index import build_index, read_index
from shard_service.index.profiles import PROFILES, Profile, Rotation
from tests.shard_service.built_index import BuiltIndex, built
from tests.shard_service.material import clustered

ROWS, DIM, K = 4000, 128, 16
_RNG = np.random.default_rng(20141)
CENTRES = _RNG.standard_normal((150, DIM))
# Clusters so wide that they run into each other: a hasty search misses neighbours.
DATA, QUERIES = clustered(_RNG, CENTRES, ROWS, 1.4), clustered(_RNG, CENTRES, 30, 1.4)
CLUSTERS = np.argmax(DATA @ CENTRES.T, axis=1)

# FAISS's own OPQ takes minutes, and its codes are those of opq64.
NAMES = [name for name in PROFILES if PROFILES[name].factory and name != "opq64-iterative"]
_CELLS = Profile(
    "cells",
    "PQ64x4fs",
    rotation=Rotation("opq", 128, 64),
    cell_rows=250,
    cells_from_rows=1000,
    nprobe=0.75,
    oversample=6.0,
    min_candidates=96,
)
CELLS = {
    "cells-fast": _CELLS,
    "cells-bytes": replace(_CELLS, factory="SQ8"),
    "cells-flat": replace(_CELLS, factory="Flat", rotation=None),
}


@pytest.fixture(scope="module")
def index_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], BuiltIndex]:
    known: dict[str, BuiltIndex] = {}

    def index(name: str) -> BuiltIndex:
        if name not in known:
            profile = CELLS[name] if name in CELLS else PROFILES[name]
            known[name] = built(tmp_path_factory.mktemp(name), profile, DATA, DATA)
        return known[name]

    return index


Index = Callable[[str], BuiltIndex]


@pytest.mark.parametrize("name", NAMES)
def test_an_index_is_what_its_factory_string_names(index_of: Index, name: str) -> None:
    profile = PROFILES[name]
    inner = index_of(name).inner
    named = faiss.index_factory(inner.d, profile.factory.replace("_Flat", ""), faiss.METRIC_L2)
    assert type(inner) is type(named)
    assert (inner.metric_type, inner.ntotal) == (faiss.METRIC_L2, ROWS)
    # As wide as the vectors, or up to the next whole subspace wider.
    assert DIM <= inner.d < 2 * DIM
    coded = inner
    if profile.has_graph:
        assert inner.hnsw.nb_neighbors(1) == named.hnsw.nb_neighbors(1)
        coded, named = faiss.downcast_index(inner.storage), faiss.downcast_index(named.storage)
    assert type(coded) is type(named) and coded.code_size == named.code_size


def test_the_names_of_the_profiles_say_what_they_are(index_of: Index) -> None:
    types = {name: type(index_of(name).inner).__name__ for name in NAMES}
    assert types == {
        "hnsw": "IndexHNSWFlat",
        "opq64": "IndexPQ",
        "graph": "IndexHNSWSQ",
        "graph-opq64": "IndexHNSWPQ",
        "compact": "IndexPQFastScan",
    }
    codes = [faiss.downcast_index(index_of("graph-opq64").inner.storage), index_of("opq64").inner]
    assert [(one.pq.M, one.pq.nbits) for one in codes] == [(64, 8), (64, 8)]
    assert faiss.downcast_index(index_of("graph").inner.storage).code_size == DIM
    assert f"PQ{index_of('compact').inner.M}x4fs" == PROFILES["compact"].factory
    assert index_of("compact").inner.nbits == 4


@pytest.mark.parametrize("name", NAMES)
def test_the_nearest_rows_are_found(index_of: Index, name: str) -> None:
    index = index_of(name)
    assert index.recall(QUERIES, index.found) >= 0.99
    # It takes the beam and the candidates that a profile asks for: this floor can be missed.
    starved = index.recall(QUERIES, lambda query: index.found(query, wanted=K, ef=1))
    assert starved < 0.985
    assert index.recall(QUERIES, lambda query: index.index.raw(query, K, 1)) < 0.985


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
@pytest.mark.parametrize("name", NAMES)
def test_a_filter_costs_no_recall(index_of: Index, name: str, share: float) -> None:
    index = index_of(name)
    rng = np.random.default_rng(7)
    scattered = rng.random(ROWS) < share
    # Whole clusters, mostly far from the query: a graph must cross what is not wanted.
    clusters = np.isin(CLUSTERS, rng.permutation(len(CENTRES))[: int(share * len(CENTRES)) + 1])
    for within, floor in ((scattered, 0.99), (clusters, 0.98)):

        def found(query: NDArray[np.float32], within: NDArray[np.bool_] = within) -> NDArray:
            rows = index.found(query, within=within)
            assert len(rows) == min(K, int(within.sum()))
            return rows

        assert index.recall(QUERIES, found, within=within) >= floor


@pytest.mark.parametrize(("name", "least"), [("hnsw", 16), ("graph", 16), ("graph-opq64", 48)])
def test_a_wider_beam_finds_more(index_of: Index, name: str, least: int) -> None:
    index = index_of(name)
    narrow, wide = (
        index.recall(QUERIES, lambda query, ef=ef: index.found(query, wanted=least, ef=ef))
        for ef in (1, 400)
    )
    assert narrow < wide


@pytest.mark.parametrize("name", ["opq64", "compact", "graph-opq64", "cells-fast"])
def test_more_candidates_find_more(index_of: Index, name: str) -> None:
    index = index_of(name)
    few, some, many = (
        index.recall(QUERIES, lambda query, wanted=wanted: index.found(query, wanted=wanted))
        for wanted in (K, 2 * K, 8 * K)
    )
    assert few < some <= many


@pytest.mark.parametrize("name", CELLS)
def test_more_cells_find_more(index_of: Index, name: str) -> None:
    index = index_of(name)
    assert type(index.inner).__name__.startswith("IndexIVF")
    assert index.inner.nlist == ROWS // 250 and index.inner.ntotal == ROWS
    one, few, every = (
        index.recall(QUERIES, lambda query, cells=cells: index.found(query, nprobe=cells))
        for cells in (1, 4, 16)
    )
    assert one < few < every and every >= 0.99
    assert few < index.recall(QUERIES, index.found) <= every
    # More cells than there are is all of them.
    assert index.recall(QUERIES, lambda query: index.found(query, nprobe=65536)) == every


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
@pytest.mark.parametrize("name", CELLS)
def test_a_filter_looks_into_more_cells(index_of: Index, name: str, share: float) -> None:
    index = index_of(name)
    within = np.random.default_rng(7).random(ROWS) < share

    def found(query: NDArray[np.float32]) -> NDArray[np.int64]:
        rows = index.found(query, within=within)
        assert len(rows) == min(K, int(within.sum()))
        return rows

    assert index.recall(QUERIES, found, within=within) >= 0.98


def test_few_rows_have_no_cells(tmp_path: Path) -> None:
    index = built(tmp_path, CELLS["cells-fast"], DATA[:999], DATA)
    assert type(index.inner).__name__ == "IndexPQFastScan"
    assert index.recall(QUERIES, index.found) >= 0.99


@pytest.mark.parametrize("count", [1, 2, 33])
@pytest.mark.parametrize("name", [*NAMES, "cells-flat"])
def test_an_index_of_hardly_any_rows_gives_them_all(tmp_path: Path, name: str, count: int) -> None:
    profile = PROFILES[name] if name in PROFILES else CELLS[name]
    profile = replace(profile, cells_from_rows=min(profile.cells_from_rows, 1))
    index = built(tmp_path, profile, DATA[:count], DATA)
    assert sorted(index.found(QUERIES[0], k=count).tolist()) == list(range(count))


@pytest.mark.parametrize("name", [*NAMES, "cells-fast"])
def test_few_rows_are_read_rather_than_looked_for(index_of: Index, name: str) -> None:
    index = index_of(name).index
    prefers = [index.prefers_scan(selected, 96, None) for selected in range(1, ROWS, 100)]
    assert prefers[0] and prefers == sorted(prefers, reverse=True)
    if PROFILES.get(name, _CELLS).has_graph:
        assert not prefers[-1]
        assert index.prefers_scan(ROWS, 96, 4096)


def test_a_build_can_be_given_up() -> None:
    stop, told = threading.Event(), list[float]()

    def progress(share: float) -> None:
        told.append(share)
        stop.set()

    def block(start: int, end: int) -> NDArray[np.float32]:
        return DATA[np.arange(start, end) % ROWS]

    with pytest.raises(Unavailable, match="NOT_READY"):
        build_index(Profile("flat", "Flat"), None, DIM, block, 50_000, stop, progress)
    assert len(told) == 1 and 0 < told[0] < 1


def test_an_index_that_claims_more_than_its_file_holds_is_refused(
    tmp_path: Path, index_of: Index
) -> None:
    path = tmp_path / "index"
    faiss.write_index(index_of("opq64").inner, str(path))
    whole = path.read_bytes()
    at = whole.index((ROWS * 64).to_bytes(8, "little"))
    for claimed in (1 << 40, len(whole) + 1):
        path.write_bytes(whole[:at] + claimed.to_bytes(8, "little") + whole[at + 8 :])
        with pytest.raises(OSError, match=r"limit|exceed"):
            read_index(path)
    path.write_bytes(whole)
    assert read_index(path).ntotal == ROWS
