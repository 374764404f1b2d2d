"""Searches that come at a rate whatever becomes of them, as callers of a service do."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
import numpy as np

from patchsearch import SearchResult
from patchsearch.errors import PatchsearchError
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.wire.status import error_from_rpc


@dataclass
class Outcomes:
    """What became of the calls. Thread-safe through `lock`."""

    seconds: list[float] = field(default_factory=list)
    """From when a call was due, so that waiting for a thread counts."""
    failed: Counter[str] = field(default_factory=Counter)
    degraded: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def answered(self) -> int:
        return len(self.seconds)

    def percentile_ms(self, percent: float) -> float:
        return float(np.percentile(self.seconds, percent)) * 1e3 if self.seconds else float("nan")


class OpenLoop:
    """Calls `search(i)` at `rate` a second from `threads` threads until it is left."""

    def __init__(
        self,
        search: Callable[[int], pb.SearchResponse | SearchResult],
        rate: float,
        threads: int = 32,
    ) -> None:
        self.outcomes = Outcomes()
        self._search = search
        self._rate = rate
        self._pool = ThreadPoolExecutor(threads)
        self._stop = threading.Event()
        self._pacer = threading.Thread(target=self._pace)

    def __enter__(self) -> OpenLoop:
        self._pacer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pacer.join()
        self._pool.shutdown()

    def _pace(self) -> None:
        began = time.monotonic()
        for number in itertools.count():
            due = began + number / self._rate
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            self._pool.submit(self._call, number, due)

    def _call(self, number: int, due: float) -> None:
        try:
            answer = self._search(number)
        except (grpc.RpcError, PatchsearchError) as error:
            told = error if isinstance(error, PatchsearchError) else error_from_rpc(error)
            with self.outcomes.lock:
                self.outcomes.failed[f"{told.code}/{told.reason}"] += 1
            return
        with self.outcomes.lock:
            self.outcomes.seconds.append(time.monotonic() - due)
            self.outcomes.degraded += answer.coverage.degraded
