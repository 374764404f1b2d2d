"""Index profiles: how a sealed segment finds candidates, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """What a sealed segment's index is made of and how it is asked.

    `factory` names the index as `faiss.index_factory` would; empty: no index, every row is read.
    `code_bytes` is the product quantizer's code, behind a parametric OPQ rotation (0: float32
    rows). `links` is HNSW's M (0: no graph). `ef_construction` and `ef_search` are HNSW's beam
    widths; a search never uses less than it wants candidates. `oversample` is how many candidates
    are read for each hit asked for.
    """

    name: str
    factory: str
    code_bytes: int = 0
    links: int = 0
    ef_construction: int = 0
    ef_search: int = 0
    oversample: float = 1.0


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("exact", ""),
        Profile("hnsw", "HNSW32,Flat", links=32, ef_construction=80, ef_search=128, oversample=2.0),
        Profile("opq64", "OPQ64_512,PQ64", code_bytes=64, oversample=8.0),
        Profile(
            "graph",
            "OPQ64_512,HNSW32_PQ64",
            code_bytes=64,
            links=32,
            ef_construction=80,
            ef_search=128,
            oversample=8.0,
        ),
    )
}
"""Profile by name. What each costs and finds is in docs."""

DEFAULT_PROFILE = "graph"
