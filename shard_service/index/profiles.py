"""Index profiles: how a sealed segment finds candidates, as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

_ROWS_OF_DEFAULTS = 50_000
_SEARCH_GROWTH = 0.63


@dataclass(frozen=True, slots=True)
class Rotation:
    """The orthogonal projection in front of a quantizer.

    `pca`: the `dims` directions of most variance. `opq`: those, dealt to `subspaces` of equal size
    so that every subspace has an equal product of variances (parametric OPQ, closed form).
    `opq-iterative`: FAISS's alternating optimisation, which takes minutes.
    """

    kind: Literal["pca", "opq", "opq-iterative"]
    dims: int
    subspaces: int = 1


@dataclass(frozen=True, slots=True)
class Profile:
    """What a sealed segment's index is made of and how it is asked.

    `factory` is a `faiss.index_factory` string for the rotated vectors: SQ8, PQ<m>, PQ<m>x4fs or
    Flat, alone or behind HNSW<M>; empty: no index, every row is read. `cell_rows` puts it behind an
    inverted file with a cell for so many rows, in segments of `cells_from_rows` or more.

    `ef_construction`, `ef_search` and `nprobe` are the graph's beam widths and the share of cells
    that is looked into. `oversample` is how many candidates are rescored for each hit asked for,
    `min_candidates` how many at least. They are for segments of 50 000 rows, and grow with larger
    ones.
    """

    name: str
    factory: str
    rotation: Rotation | None = None
    ef_construction: int = 0
    ef_search: int = 0
    cell_rows: int = 0
    cells_from_rows: int = 0
    nprobe: float = 0.0
    oversample: float = 1.0
    min_candidates: int = 0

    @property
    def has_graph(self) -> bool:
        """Whether it searches a graph."""
        return self.factory.startswith("HNSW")

    @property
    def needs_training(self) -> bool:
        """Whether it needs a codebook."""
        return self.rotation is not None

    @property
    def quantizer(self) -> str:
        """The part of the factory that a codebook is trained for, such as "PQ64"; "" for none."""
        code = self.factory.rpartition("_")[2] if self.has_graph else self.factory
        return "" if code == "Flat" else code

    def growth(self, rows: int) -> float:
        """How many times its search beam and its candidates a segment of `rows` gets.

        A beam that finds all but one in a thousand among fifty thousand rows finds fewer among a
        million: more lie in between. The power was measured there (benchmarks/RESULTS.md).
        """
        return float(max(1.0, rows / _ROWS_OF_DEFAULTS) ** _SEARCH_GROWTH)

    def beam(self, rows: int) -> int:
        """The beam width of a search in a segment of `rows`."""
        return int(self.ef_search * self.growth(rows))

    def construction_beam(self, rows: int) -> int:
        """The beam width with which the graph of a segment of `rows` is built."""
        return int(self.ef_construction * math.sqrt(max(1.0, rows / _ROWS_OF_DEFAULTS)))


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("exact", ""),
        Profile(
            "hnsw",
            "HNSW32_Flat",
            ef_construction=80,
            ef_search=128,
            oversample=4.0,
            min_candidates=64,
        ),
        Profile(
            "opq64", "PQ64", rotation=Rotation("opq", 512, 64), oversample=6.0, min_candidates=128
        ),
        Profile(
            "opq64-iterative",
            "PQ64",
            rotation=Rotation("opq-iterative", 512, 64),
            oversample=6.0,
            min_candidates=128,
        ),
        Profile(
            "graph",
            "HNSW18_SQ8",
            rotation=Rotation("pca", 160),
            ef_construction=80,
            ef_search=128,
            oversample=3.5,
            min_candidates=56,
        ),
        Profile(
            "graph-opq64",
            "HNSW32_PQ64",
            rotation=Rotation("opq", 512, 64),
            ef_construction=80,
            ef_search=128,
            oversample=6.0,
            min_candidates=96,
        ),
        Profile(
            "compact",
            "PQ96x4fs",
            rotation=Rotation("opq", 192, 96),
            cell_rows=1024,
            cells_from_rows=200_000,
            nprobe=0.5,
            oversample=6.0,
            min_candidates=160,
        ),
    )
}
"""Profile by name. What each costs and finds is in docs."""

DEFAULT_PROFILE = "graph"
