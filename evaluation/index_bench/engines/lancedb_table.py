"""lancedb: an inverted file over product quantizer codes, refined from the table."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import IvfPq
from numpy.typing import NDArray

from evaluation.index_bench.engine import BuildTimes

_TABLE = "vectors"
_ADD_ROWS, _CODE_BYTES, _REFINED = 8192, 64, 20


class LancedbTable:
    """`IVF_PQ` with 64 subvectors over float32 rows: float16 ones it indexes several times slower.

    Its effort is nprobes; twenty candidates are refined for each row asked for.
    """

    def __init__(self) -> None:
        self._table: Any = None

    def build(self, vectors: Path, directory: Path, threads: int) -> BuildTimes:
        """Writes the table and indexes it."""
        rows = np.load(vectors, mmap_mode="r", allow_pickle=False)
        dim = rows.shape[1]
        schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), dim))])
        begin = time.perf_counter()
        table = lancedb.connect(str(directory)).create_table(_TABLE, _batches(rows), schema=schema)
        table.create_index(
            "vector",
            config=IvfPq(
                distance_type="dot",
                num_partitions=max(1, math.isqrt(len(rows))),
                num_sub_vectors=_CODE_BYTES,
            ),
            wait_timeout=timedelta(days=1),
        )
        return BuildTimes(0.0, time.perf_counter() - begin)

    def open(self, directory: Path, threads: int) -> None:
        """Opens the table; the index is read as it is used."""
        self._table = lancedb.connect(str(directory)).open_table(_TABLE)

    def search(
        self, query: NDArray[np.float32], k: int, effort: float | None, *, rescored: bool = True
    ) -> NDArray[np.int64]:
        """The index's answer, refined where `rescored`."""
        wanted = self._table.search(query).distance_type("dot").nprobes(int(effort or 20))
        if rescored:
            wanted = wanted.refine_factor(_REFINED)
        # Without the distance it logs a warning for every query.
        found = wanted.select(["id", "_distance"]).limit(k).to_arrow()
        return np.asarray(found["id"].to_numpy(), np.int64)


def _batches(rows: NDArray[np.float16]) -> Iterator[pa.RecordBatch]:
    dim = rows.shape[1]
    for start in range(0, len(rows), _ADD_ROWS):
        block = rows[start : start + _ADD_ROWS].astype(np.float32)
        values = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), dim)
        ids = pa.array(np.arange(start, start + len(block)))
        yield pa.record_batch([ids, values], names=["id", "vector"])
