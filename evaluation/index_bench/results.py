"""What the bench found out about an engine, and the JSON that it becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.index_bench.jobs import Measured, SweepPoint


@dataclass(frozen=True, slots=True)
class Result:
    """One engine on one table. `recall_target` None: reported at the engine's own setting.

    `disk` in bytes; `qps` with `clients` threads.
    """

    profile: str
    library: str
    is_peer: bool
    vectors: int
    dim: int
    queries: int
    k: int
    train_s: float
    build_s: float
    disk: int
    measured: Measured
    qps: float
    clients: int
    effort_name: str
    effort: float | None
    recall_target: float | None
    options: Mapping[str, str]
    sweep: Sequence[SweepPoint]
    table: str

    @property
    def ram(self) -> float:
        """Bytes a vector that cannot be spared: anonymous ones, and the mapped index's pages."""
        return (self.measured.anonymous + self.measured.mapped_index) / self.vectors

    @property
    def resident(self) -> float:
        """Bytes a vector of everything in memory after the run."""
        return self.measured.resident / self.vectors

    def as_json(self) -> dict[str, Any]:
        """The object of the JSON list; names carry their units."""
        one = self.measured
        return {
            "profile": self.profile,
            "library": self.library,
            "table": self.table,
            "vectors": self.vectors,
            "dim": self.dim,
            "queries": self.queries,
            "train_s": round(self.train_s, 3),
            "build_s": round(self.build_s, 3),
            "open_s": round(one.open_s, 3),
            "ram_bytes_per_vector": round(self.ram, 1),
            "anonymous_bytes_per_vector": round(one.anonymous / self.vectors, 1),
            "resident_bytes_per_vector": round(self.resident, 1),
            "mapped_index_bytes_per_vector": round(one.mapped_index / self.vectors, 1),
            "mapped_vectors_bytes_per_vector": round(one.mapped_vectors / self.vectors, 1),
            "disk_bytes_per_vector": round(self.disk / self.vectors, 1),
            f"recall_at_{self.k}_raw": round(one.recall_raw, 5),
            f"recall_at_{self.k}": round(one.recall, 5),
            f"precision_at_{self.k}": None if one.precision is None else round(one.precision, 5),
            "mean_ms": round(one.mean_ms, 4),
            "p50_ms": round(one.p50_ms, 4),
            "p99_ms": round(one.p99_ms, 4),
            "cpu_ms": round(one.cpu_ms, 4),
            "qps": round(self.qps, 1),
            "qps_threads": self.clients,
            "settings": {
                **self.options,
                self.effort_name: self.effort,
                "recall_target": self.recall_target,
            },
            "sweep": [asdict(point) for point in self.sweep],
        }
