"""A sealed segment's index as it is asked: for candidates, whose vectors are compared later."""

from __future__ import annotations

import math
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from shard_service.index.profiles import Profile
from shard_service.index.threads import use_threads

_SCAN_NS = 1.0
"""What reading past a row that is not selected costs a scan, nanoseconds."""
_READ_NS = 45.0
"""What a row's inner product costs a scan."""
_STEP_NS = 600.0
"""What a step of the beam costs a graph."""
_CODE_NS, _FAST_CODE_NS = 30.0, 3.0
"""What a code costs a flat index, one by one and in registers."""
_KEPT_PARAMETERS = 64


class CandidateIndex:
    """The index `inner` over rotated vectors. Thread-safe while nothing is added."""

    def __init__(self, profile: Profile, transform: Any | None, inner: Any) -> None:
        """`transform` is the codebook's, None where the profile has no rotation."""
        self._profile = profile
        self._cells = hasattr(inner, "nlist")
        # FAISS's objects do not keep the Python objects alive that they are made of.
        self._parts = [inner]
        self._rotated = transform is not None
        base = inner
        if transform is not None:
            base = faiss.IndexPreTransform(transform, inner)
            self._parts += [transform, base]
        self._base = base
        self._rows = int(inner.ntotal)
        # Making FAISS's parameter objects takes a third of a search.
        self._parameters: dict[int, Any] = {}

    def candidates(self, count: int) -> int:
        """How many candidates the profile asks for, for `count` hits."""
        least = max(self._profile.min_candidates, count * self._profile.oversample)
        return int(least * self._profile.growth(self._rows))

    def prefers_scan(self, selected: int, wanted: int, ef: int | None) -> bool:
        """Whether reading the `selected` rows is cheaper than asking for `wanted` of them."""
        share = self._share(selected)
        scan = self._rows * _SCAN_NS + selected * _READ_NS
        if self._profile.has_graph:
            return scan < self._beam(wanted, ef) / share * _STEP_NS
        code = _FAST_CODE_NS if self._profile.factory.endswith("x4fs") else _CODE_NS
        if self._cells:
            looked_into = min(1.0, self._profile.nprobe / share)
            return scan < self._rows * looked_into * code + wanted * _READ_NS
        return scan < self._rows * code + wanted / share * _READ_NS

    def approximate(
        self,
        query: NDArray[np.float32],
        wanted: int,
        selected: int,
        selector: Any | None,
        ef: int | None,
        nprobe: int | None,
    ) -> NDArray[np.int64]:
        """About `wanted` rows of the `selected` ones, nearest first as far as their codes tell.

        `selector` limits a graph and an inverted file; a flat index may return other rows too, and
        is asked for as many more. `ef` and `nprobe` replace the profile's.
        """
        use_threads(1)
        share = self._share(selected)
        effort = 0
        if self._profile.has_graph:
            # The beam walks over rows that are not selected too.
            effort = math.ceil(self._beam(wanted, ef) / share)
        elif self._cells:
            effort = nprobe or self._probes(share)
        elif selector is not None:
            wanted = math.ceil(wanted / share * 1.2) + 32
        parameters = self._parameters.get(effort) if selector is None else None
        if parameters is None:
            parameters = self._searching(effort, selector)
            if selector is None and len(self._parameters) < _KEPT_PARAMETERS:
                self._parameters[effort] = parameters
        count = min(wanted, self._rows)
        distances, rows = np.empty(count, np.float32), np.empty(count, np.int64)
        vector = np.ascontiguousarray(query, np.float32)
        # Past FAISS's checks of the arguments, which take a tenth of the search.
        self._base.search_c(
            1,
            faiss.swig_ptr(vector),
            count,
            faiss.swig_ptr(distances),
            faiss.swig_ptr(rows),
            parameters,
        )
        found: NDArray[np.int64] = rows if rows[-1] >= 0 else rows[rows >= 0]
        return found

    def raw(self, query: NDArray[np.float32], count: int, ef: int | None) -> NDArray[np.int64]:
        """The index's own order, not refined: what compression alone finds; for measuring."""
        use_threads(1)
        effort = self._beam(count, ef) if self._profile.has_graph else self._probes(1.0)
        parameters = self._searching(effort, None)
        _, rows = self._base.search(query[None, :], count, params=parameters)
        found: NDArray[np.int64] = rows[0][rows[0] >= 0]
        return found

    def _searching(self, effort: int, selector: Any | None) -> Any:
        parameters: Any = None
        if self._profile.has_graph:
            parameters = faiss.SearchParametersHNSW()
            parameters.efSearch = effort
            parameters.sel = selector
        elif self._cells:
            parameters = faiss.SearchParametersIVF()
            parameters.nprobe = effort
            parameters.sel = selector
        if parameters is None or not self._rotated:
            return parameters
        behind = faiss.SearchParametersPreTransform()
        behind.index_params = parameters
        return behind

    def _share(self, selected: int) -> float:
        return max(selected, 1) / max(self._rows, 1)

    def _probes(self, share: float) -> int:
        if not self._cells:
            return 0
        cells = int(self._parts[0].nlist)
        return min(cells, math.ceil(cells * self._profile.nprobe / share))

    def _beam(self, wanted: int, ef: int | None) -> int:
        return max(ef or self._profile.beam(self._rows), wanted)
