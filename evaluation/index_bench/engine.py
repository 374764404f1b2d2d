"""What the bench asks of an engine, and how it names one."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class BuildTimes:
    """Seconds of training (0.0: nothing is trained, or it cannot be told apart) and of the rest."""

    train_s: float
    build_s: float


class Engine(Protocol):
    """An index behind the smallest door that fits all of them.

    Made with its spec's options. `build` runs in one process, `open` and `search` in others.
    """

    def build(self, vectors: Path, directory: Path, threads: int) -> BuildTimes:
        """Indexes the unit rows of `vectors` (.npy, (n, dim) float16) durably in `directory`.

        `directory` is there and empty; row numbers become ids; `threads` is how many to use.
        """

    def open(self, directory: Path, threads: int) -> None:
        """Makes what `build` left in `directory` ready for `threads` threads that search."""

    def search(
        self, query: NDArray[np.float32], k: int, effort: float | None, *, rescored: bool = True
    ) -> NDArray[np.int64]:
        """At most `k` rows (n,) for a unit query (dim,), best first.

        `effort` is the knob that its spec names; None: the engine's own setting. With `rescored`
        False: in the order of the index alone, for an engine that rescores. Thread-safe.
        """


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """An engine with its settings, as data.

    `adapter` is `module:class`, called with `options`. `efforts`, ascending, are what is swept of
    the knob called `effort_name`; `fixed` engines are reported at their own setting, others at the
    smallest effort that reaches the recall aimed at. `vector_files` are glob patterns, relative to
    the directory, of the files that hold full vectors apart from the index. `needs` must be
    importable; `distribution` tells its version.
    """

    name: str
    adapter: str
    needs: str
    distribution: str
    efforts: tuple[float, ...]
    effort_name: str
    options: Mapping[str, str] = field(default_factory=dict)
    fixed: bool = False
    vector_files: tuple[str, ...] = ()

    def load(self) -> Engine:
        """The adapter, its library imported; nothing is opened."""
        module, name = self.adapter.split(":")
        engine: Engine = getattr(importlib.import_module(module), name)(**self.options)
        return engine
