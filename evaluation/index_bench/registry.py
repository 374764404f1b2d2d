"""Which engines there are: our profiles and the peers, with what is swept of each."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from importlib import metadata

from evaluation.index_bench.engine import EngineSpec
from patchsearch.errors import InvalidArgument
from shard_service.index.profiles import DEFAULT_PROFILE, PROFILES

_ENGINES = "evaluation.index_bench.engines"
_BEAMS = (16.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0, 192.0, 256.0, 384.0, 512.0)

PEERS: tuple[EngineSpec, ...] = (
    EngineSpec(
        "faiss-hnsw32",
        f"{_ENGINES}.faiss_flat:FaissFlatGraph",
        "faiss",
        "faiss",
        _BEAMS,
        "ef",
    ),
    EngineSpec(
        "faiss-opq64-hnsw32",
        f"{_ENGINES}.faiss_codes:FaissCodedGraph",
        "faiss",
        "faiss",
        _BEAMS,
        "candidates",
        vector_files=("*vectors.npy",),
    ),
    EngineSpec(
        "faiss-hnsw-codes",
        f"{_ENGINES}.faiss_bare:FaissBareGraph",
        "faiss",
        "faiss",
        _BEAMS,
        "ef",
        {"profile": DEFAULT_PROFILE},
        fixed=True,
    ),
    EngineSpec("hnswlib", f"{_ENGINES}.hnswlib_graph:Hnswlib", "hnswlib", "hnswlib", _BEAMS, "ef"),
    EngineSpec(
        "usearch-f16",
        f"{_ENGINES}.usearch_graph:Usearch",
        "usearch",
        "usearch",
        _BEAMS,
        "ef",
    ),
    EngineSpec(
        "usearch-mapped",
        f"{_ENGINES}.usearch_graph:Usearch",
        "usearch",
        "usearch",
        _BEAMS,
        "ef",
        {"opened": "mapped"},
    ),
    EngineSpec(
        "qdrant-int8",
        f"{_ENGINES}.qdrant_shard:QdrantShard",
        "qdrant_edge",
        "qdrant-edge-py",
        _BEAMS,
        "ef",
        {"codes": "int8"},
        vector_files=("*/vector_storage/matrix.dat", "*/vector_storage/vectors/*"),
    ),
    EngineSpec(
        "qdrant-mapped",
        f"{_ENGINES}.qdrant_shard:QdrantShard",
        "qdrant_edge",
        "qdrant-edge-py",
        _BEAMS,
        "ef",
        {"codes": "none"},
        vector_files=("*/vector_storage/matrix.dat", "*/vector_storage/vectors/*"),
    ),
    EngineSpec(
        "lancedb-ivfpq",
        f"{_ENGINES}.lancedb_table:LancedbTable",
        "lancedb",
        "lancedb",
        (4.0, 8.0, 16.0, 32.0, 64.0, 128.0),
        "nprobes",
    ),
)
"""Every peer, in the order of the report."""


def profile_names() -> list[str]:
    """All of our profiles."""
    return list(PROFILES)


def profile_spec(name: str) -> EngineSpec:
    """One of our profiles; raises InvalidArgument PROFILE_UNKNOWN."""
    if name not in PROFILES:
        raise InvalidArgument(
            "PROFILE_UNKNOWN", f"no profile {name!r}; there are {', '.join(PROFILES)}"
        )
    return EngineSpec(
        name,
        f"{_ENGINES}.ours:OurSegment",
        "faiss",
        "patchsearch",
        (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0) if PROFILES[name].factory else (),
        "oversample",
        {"profile": name},
        fixed=True,
        vector_files=("*vectors.faiss",),
    )


def chosen_peers(names: str) -> list[EngineSpec]:
    """`none`, `all`, or peers by name or family (`qdrant`), with commas between.

    Raises InvalidArgument PEER_UNKNOWN.
    """
    if names == "all":
        return list(PEERS)
    wanted = [] if names == "none" else [name.strip() for name in names.split(",")]
    for name in wanted:
        if not any(_is_called(peer, name) for peer in PEERS):
            known = ", ".join(peer.name for peer in PEERS)
            raise InvalidArgument("PEER_UNKNOWN", f"no peer {name!r}; there are {known}")
    return [peer for peer in PEERS if any(_is_called(peer, name) for name in wanted)]


def is_installed(spec: EngineSpec) -> bool:
    """Whether its library can be imported; does not import it."""
    return importlib.util.find_spec(spec.needs) is not None


def version_of(spec: EngineSpec) -> str:
    """`name version` of its library."""
    names: Sequence[str] = (spec.distribution,)
    if spec.distribution == "faiss":
        names = ("faiss-gpu", "faiss-cpu")
    for name in names:
        try:
            return f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue
    return spec.distribution


def _is_called(peer: EngineSpec, name: str) -> bool:
    return name in (peer.name, peer.name.split("-")[0])
