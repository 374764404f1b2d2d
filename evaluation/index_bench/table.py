"""The vectors that are measured: a table of real ones, or generated ones, ready to be mapped."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patchsearch.errors import InvalidArgument, NotFound

VECTORS_FILE = "vectors.npy"
# What the precision needs of a table besides its vectors.
_CLASSES = frozenset({"boxes", "image", "relevant", "query_image", "query_class"})
_BLOCK_ROWS = 8192
_LARGEST_ERROR = 0.01


@dataclass(frozen=True, eq=False, slots=True)
class Table:
    """`vectors` names a .npy file of (n, dim) float16 unit rows, `queries` are (q, dim) float32
    unit rows. `classes` names the .npz table that says what is relevant to them; None: nothing."""

    name: str
    vectors: Path
    queries: NDArray[np.float32]
    classes: Path | None

    def mapped(self) -> NDArray[np.float16]:
        """The vectors, (n, dim), read from the file as they are used."""
        rows: NDArray[np.float16] = np.load(self.vectors, mmap_mode="r", allow_pickle=False)
        return rows


def load_table(path: Path, work: Path, queries: int | None) -> Table:
    """Unpacks a .npz table into `work`; keeps the first `queries` queries (None: all).

    Needs `vectors` (n, dim) and `query_vectors` (q, dim), unit rows; with boxes, images, classes
    and relevant rows as well there is a precision. Raises NotFound TABLE_NOT_FOUND and
    InvalidArgument TABLE_INVALID.
    """
    if not path.is_file():
        raise NotFound("TABLE_NOT_FOUND", f"there is no table at {path}")
    try:
        with np.load(path, allow_pickle=False) as table:
            names = set(table.files)
            missing = {"vectors", "query_vectors"} - names
            if missing:
                raise InvalidArgument(
                    "TABLE_INVALID",
                    f"{path} lacks {', '.join(sorted(missing))}; it must hold vectors (n, dim) and"
                    " query_vectors (q, dim), unit rows",
                )
            rows, wanted = table["vectors"], table["query_vectors"]
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise InvalidArgument("TABLE_INVALID", f"{path} is not an .npz table: {error}") from error
    _check(path, "vectors", rows)
    _check(path, "query_vectors", wanted)
    if rows.shape[1] != wanted.shape[1]:
        raise InvalidArgument(
            "TABLE_INVALID",
            f"{path}: vectors have {rows.shape[1]} numbers, query_vectors {wanted.shape[1]}",
        )
    target = work / VECTORS_FILE
    np.save(target, rows.astype(np.float16, copy=False))
    return Table(
        path.name,
        target,
        np.ascontiguousarray(wanted[:queries], dtype=np.float32),
        path.resolve() if _CLASSES <= names else None,
    )


def _check(path: Path, name: str, rows: NDArray[np.floating]) -> None:
    if rows.ndim != 2 or 0 in rows.shape or rows.dtype.kind != "f":
        raise InvalidArgument(
            "TABLE_INVALID",
            f"{path}: {name} is {rows.dtype} {rows.shape}; it must be rows of floating point",
        )
    for start in range(0, len(rows), _BLOCK_ROWS):
        norms = np.linalg.norm(rows[start : start + _BLOCK_ROWS].astype(np.float32), axis=1)
        # Written so that NaN fails too.
        wrong = ~(np.abs(norms - 1) <= _LARGEST_ERROR)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InvalidArgument(
                "TABLE_INVALID",
                f"{path}: row {start + row} of {name} has length {norms[row]:.3f}; rows must be"
                " normalised to 1",
            )
