"""What a study has found out so far, on disk, so that a run that was ended goes on."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.study.photo_work import BoxRow, ChosenPatches, EmbeddedBoxes, PhotoResult
from evaluation.study.stopwatch import Spent
from patchsearch.errors import DataLoss, FailedPrecondition

FILE = "study.sqlite3"

_FORMAT = 2
_BOX_BYTES = 16
_SCHEMA = """
CREATE TABLE IF NOT EXISTS photo (
    digest TEXT PRIMARY KEY, decode BLOB NOT NULL, refused TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chosen (
    digest TEXT NOT NULL, key TEXT NOT NULL, boxes BLOB NOT NULL, level BLOB NOT NULL,
    score BLOB NOT NULL, warnings TEXT NOT NULL, saliency BLOB NOT NULL, maps INTEGER NOT NULL,
    scoring BLOB NOT NULL, PRIMARY KEY (digest, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS embedded (
    id INTEGER PRIMARY KEY, digest TEXT NOT NULL, encoder TEXT NOT NULL, boxes BLOB NOT NULL,
    vectors BLOB NOT NULL, cut BLOB NOT NULL, embed BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS embedded_by_photo ON embedded (encoder, digest);
CREATE TABLE IF NOT EXISTS crop (
    encoder TEXT NOT NULL, digest BLOB NOT NULL, vector BLOB NOT NULL,
    PRIMARY KEY (encoder, digest)
) WITHOUT ROWID;
"""


class StudyStore:
    """One SQLite file: patches by photo and selector, vectors by photo and encoder.

    Photos are known by the digest of their file, so another run over the same photos, or some of
    them, finds what there is. A photo's result is written in one transaction. A context manager;
    one thread of one process at a time. Everything raises DataLoss (WORK_CORRUPT) for a file that
    is damaged or not of this kind, and FailedPrecondition (WORK_UNUSABLE) where it cannot be read
    or written, as on a full disk.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        with self._named_errors():
            self._db = sqlite3.connect(self._path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            # A power cut may lose the last photos, which are then done again.
            self._db.execute("PRAGMA synchronous=NORMAL")
            (found,) = self._db.execute("PRAGMA user_version").fetchone()
            if found not in (0, _FORMAT):
                raise self._corrupt(f"it has format {found}")
            self._db.executescript(f"{_SCHEMA}PRAGMA user_version={_FORMAT};")

    def __enter__(self) -> StudyStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._db.close()

    def add(self, digest: str, encoder: str, result: PhotoResult) -> None:
        """Writes what came of a photo, all of it or nothing."""
        with self._transaction():
            self._db.execute(
                "INSERT OR IGNORE INTO photo VALUES (?, ?, ?)",
                (digest, _spent_bytes(result.decode), result.refused),
            )
            for key, found in (result.chosen or {}).items():
                self._db.execute(
                    "INSERT OR REPLACE INTO chosen VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (digest, key, *_as_row(found)),
                )
            if result.embedded is not None and len(result.embedded.boxes):
                boxes = result.embedded
                self._db.execute(
                    "INSERT INTO embedded VALUES (NULL, ?, ?, ?, ?, ?, ?)",
                    (
                        digest,
                        encoder,
                        boxes.boxes.astype("<i4").tobytes(),
                        boxes.vectors.astype("<f2").tobytes(),
                        _spent_bytes(boxes.cut),
                        _spent_bytes(boxes.embed),
                    ),
                )

    def photos(self) -> dict[str, tuple[Spent, str | None]]:
        """Of every photo that was worked on: its decoding, and why it cannot be used."""
        rows = self._rows("SELECT digest, decode, refused FROM photo")
        return {digest: (_spent(decode), refused) for digest, decode, refused in rows}

    def keys(self, digest: str) -> set[str]:
        """The selector keys under which a photo's patches are known."""
        return {key for (key,) in self._rows("SELECT key FROM chosen WHERE digest = ?", digest)}

    def chosen(self, digest: str, key: str) -> ChosenPatches | None:
        """A photo's patches by the selector of this key."""
        rows = self._rows(
            "SELECT boxes, level, score, warnings, saliency, maps, scoring FROM chosen"
            " WHERE digest = ? AND key = ?",
            digest,
            key,
        )
        return _from_row(rows[0]) if rows else None

    def embedded(self, digest: str, encoder: str) -> list[EmbeddedBoxes]:
        """The boxes of a photo that have vectors."""
        rows = self._rows(
            "SELECT boxes, vectors, cut, embed FROM embedded"
            " WHERE encoder = ? AND digest = ? ORDER BY id",
            encoder,
            digest,
        )
        return [_embedded(*row) for row in rows]

    def embedded_boxes(self, digest: str, encoder: str) -> frozenset[BoxRow]:
        """The boxes of a photo that have vectors, without these."""
        rows = self._rows(
            "SELECT boxes FROM embedded WHERE encoder = ? AND digest = ?", encoder, digest
        )
        return frozenset(tuple(box) for (blob,) in rows for box in _boxes(blob).tolist())

    def embedding_costs(self, digest: str, encoder: str) -> list[tuple[int, Spent, Spent]]:
        """What embedding a photo's boxes took: their number, cutting, the encoder."""
        rows = self._rows(
            "SELECT length(boxes), cut, embed FROM embedded WHERE encoder = ? AND digest = ?",
            encoder,
            digest,
        )
        return [(length // _BOX_BYTES, _spent(cut), _spent(embed)) for length, cut, embed in rows]

    def crops(self, encoder: str, digests: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """The vectors (d,) float32 of those crops that are known, by digest of their pixels."""
        found = {}
        for digest in digests:
            rows = self._rows(
                "SELECT vector FROM crop WHERE encoder = ? AND digest = ?", encoder, digest
            )
            if rows:
                found[digest] = np.frombuffer(rows[0][0], "<f4")
        return found

    def add_crops(self, encoder: str, vectors: Iterable[tuple[bytes, NDArray[np.float32]]]) -> None:
        """Writes vectors of crops, all or none."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO crop VALUES (?, ?, ?)",
                ((encoder, digest, vector.astype("<f4").tobytes()) for digest, vector in vectors),
            )

    def _rows(self, query: str, *values: object) -> list[Any]:
        with self._named_errors():
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._named_errors(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            yield

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise FailedPrecondition(
                "WORK_UNUSABLE",
                f"{self._path}: {error}; make room and rights for it, or name another folder",
            ) from error
        except sqlite3.DatabaseError as error:
            raise self._corrupt(str(error)) from error

    def _corrupt(self, why: str) -> DataLoss:
        return DataLoss(
            "WORK_CORRUPT",
            f"{self._path}: {why}; remove it to start afresh, or name another folder",
        )


def _as_row(found: ChosenPatches) -> tuple[object, ...]:
    return (
        found.boxes.astype("<i4").tobytes(),
        found.level.astype("<i4").tobytes(),
        found.score.astype("<f4").tobytes(),
        json.dumps(found.warnings),
        _spent_bytes(found.saliency),
        found.maps,
        _spent_bytes(found.scoring),
    )


def _from_row(row: tuple[bytes, bytes, bytes, str, bytes, int, bytes]) -> ChosenPatches:
    boxes, level, score, warnings, saliency, maps, scoring = row
    return ChosenPatches(
        boxes=_boxes(boxes),
        level=np.frombuffer(level, "<i4").astype(np.int32),
        score=np.frombuffer(score, "<f4").astype(np.float32),
        warnings=tuple(json.loads(warnings)),
        saliency=_spent(saliency),
        maps=maps,
        scoring=_spent(scoring),
    )


def _embedded(boxes: bytes, vectors: bytes, cut: bytes, embed: bytes) -> EmbeddedBoxes:
    rows = _boxes(boxes)
    unit = np.frombuffer(vectors, "<f2").astype(np.float16).reshape(len(rows), -1)
    return EmbeddedBoxes(rows, unit, _spent(cut), _spent(embed))


def _boxes(blob: bytes) -> NDArray[np.int32]:
    return np.frombuffer(blob, "<i4").astype(np.int32).reshape(-1, 4)


def _spent(blob: bytes) -> Spent:
    return Spent(*np.frombuffer(blob, "<f8").tolist())


def _spent_bytes(spent: Spent) -> bytes:
    return np.array([spent.ms, spent.cpu_ms], "<f8").tobytes()
