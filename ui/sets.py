"""Sets of judged patches, kept in one SQLite file beside the page."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from patchsearch.errors import InvalidArgument, NotFound
from patchsearch.exports.items import SetItem, Verdict
from patchsearch.geometry import Box
from ui.set_records import Round, SetSummary

MAX_NAME = 120

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sets (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
  changed TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
) STRICT;
CREATE TABLE IF NOT EXISTS items (
  set_id INTEGER NOT NULL REFERENCES sets (id) ON DELETE CASCADE,
  image_id TEXT NOT NULL, x INTEGER NOT NULL, y INTEGER NOT NULL,
  w INTEGER NOT NULL, h INTEGER NOT NULL,
  verdict TEXT NOT NULL, score REAL, uri TEXT NOT NULL,
  width INTEGER NOT NULL, height INTEGER NOT NULL, metadata TEXT NOT NULL,
  found_by TEXT NOT NULL,
  position INTEGER NOT NULL,
  PRIMARY KEY (set_id, image_id, x, y, w, h)
) STRICT;
CREATE TABLE IF NOT EXISTS changes (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  set_id INTEGER NOT NULL REFERENCES sets (id) ON DELETE CASCADE,
  batch INTEGER NOT NULL,
  image_id TEXT NOT NULL, x INTEGER NOT NULL, y INTEGER NOT NULL,
  w INTEGER NOT NULL, h INTEGER NOT NULL,
  before TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS changes_of_set ON changes (set_id, batch);
"""
_UNJUDGED = Verdict.UNJUDGED.value
_PLACE = "set_id = ? AND image_id = ? AND x = ? AND y = ? AND w = ? AND h = ?"


class SetStore:
    """Reads and writes the sets. Thread-safe; close it, or use `with`."""

    def __init__(self, path: Path) -> None:
        """Raises InvalidArgument SETS_UNREADABLE for a file that is no store of sets."""
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.execute("PRAGMA busy_timeout = 5000")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise InvalidArgument(
                "SETS_UNREADABLE", f"cannot keep sets in {path}: {error}; give another --data"
            ) from error

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._db.close()

    def create(self, name: str) -> int:
        """A new, empty set; a name that is taken gets a number behind it. Returns its id.

        Raises InvalidArgument SET_NAME_INVALID.
        """
        wanted = _checked_name(name)
        with self._writing() as db:
            taken = {row[0] for row in db.execute("SELECT name FROM sets")}
            free = wanted
            number = 1
            while free in taken:
                number += 1
                free = f"{wanted[: MAX_NAME - 8]} ({number})"
            row = db.execute("INSERT INTO sets (name) VALUES (?)", (free,))
            return int(row.lastrowid or 0)

    def rename(self, set_id: int, name: str) -> None:
        """Raises InvalidArgument SET_NAME_INVALID or SET_NAME_TAKEN, NotFound SET_NOT_FOUND."""
        wanted = _checked_name(name)
        with self._writing() as db:
            self._require(db, set_id)
            try:
                db.execute("UPDATE sets SET name = ? WHERE id = ?", (wanted, set_id))
            except sqlite3.IntegrityError as error:
                raise InvalidArgument(
                    "SET_NAME_TAKEN", f"another set is named {wanted!r}; choose another name"
                ) from error

    def delete(self, set_id: int) -> None:
        """Deletes a set with its items; raises NotFound SET_NOT_FOUND."""
        with self._writing() as db:
            self._require(db, set_id)
            db.execute("DELETE FROM sets WHERE id = ?", (set_id,))

    def all(self) -> list[SetSummary]:
        """All sets, the one changed last first."""
        with self._lock:
            return self._summaries("", ())

    def get(self, set_id: int) -> SetSummary:
        """Raises NotFound SET_NOT_FOUND."""
        with self._lock:
            found = self._summaries("WHERE s.id = ?", (set_id,))
        if not found:
            raise _not_found(set_id)
        return found[0]

    def items(self, set_id: int) -> list[SetItem]:
        """The items in the order of judging; raises NotFound SET_NOT_FOUND."""
        with self._lock:
            self._require(self._db, set_id)
            rows = self._db.execute(
                "SELECT image_id, uri, width, height, x, y, w, h, score, verdict, metadata "
                "FROM items WHERE set_id = ? AND verdict != '' ORDER BY position",
                (set_id,),
            ).fetchall()
        return [_item(row) for row in rows]

    def rounds(self, set_id: int) -> list[Round]:
        """The searches whose hits were judged, first one first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT found_by, sum(verdict = 'yes'), sum(verdict = 'no') FROM items "
                "WHERE set_id = ? AND found_by != '' GROUP BY found_by ORDER BY min(position)",
                (set_id,),
            ).fetchall()
        return [Round(found_by, yes, no) for found_by, yes, no in rows if yes + no]

    def judge(self, set_id: int, items: Iterable[SetItem], *, found_by: str = "") -> None:
        """Sets the verdicts that the items carry, as one step that `undo` takes back.

        UNJUDGED takes an item out of the set. Raises NotFound SET_NOT_FOUND.
        """
        with self._writing() as db:
            self._require(db, set_id)
            batch = self._next(db, "changes", "batch", set_id)
            for item in items:
                place = _place(set_id, item)
                before = db.execute(f"SELECT verdict FROM items WHERE {_PLACE}", place).fetchone()
                db.execute(
                    "INSERT INTO changes (batch, set_id, image_id, x, y, w, h, before) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (batch, *place, before[0] if before else _UNJUDGED),
                )
                # Rows of items that were taken out stay, so that undoing brings all of them back.
                self._put(db, set_id, item, found_by)
            self._touch(db, set_id)

    def undo(self, set_id: int) -> list[SetItem]:
        """Takes the last step back; returns its places with the verdicts they have now.

        Of the items only image, box and verdict are told. Nothing left to undo gives none.
        Raises NotFound SET_NOT_FOUND.
        """
        with self._writing() as db:
            self._require(db, set_id)
            batch = self._next(db, "changes", "batch", set_id) - 1
            rows = db.execute(
                "SELECT image_id, x, y, w, h, before FROM changes "
                "WHERE set_id = ? AND batch = ? ORDER BY id DESC",
                (set_id, batch),
            ).fetchall()
            places = []
            for image_id, x, y, w, h, before in rows:
                place = (set_id, image_id, x, y, w, h)
                db.execute(f"UPDATE items SET verdict = ? WHERE {_PLACE}", (before, *place))
                places.append(SetItem(image_id, "", 0, 0, Box(x, y, w, h), verdict=Verdict(before)))
            db.execute("DELETE FROM changes WHERE set_id = ? AND batch = ?", (set_id, batch))
            self._touch(db, set_id)
        return places

    def merge(self, source: int, target: int) -> int:
        """Adds to `target` the items of `source` that it lacks; returns how many.

        Where both judged a patch, the target's verdict stays. Raises NotFound SET_NOT_FOUND.
        """
        have = {(item.image_id, item.box) for item in self.items(target)}
        added = [i for i in self.items(source) if (i.image_id, i.box) not in have]
        if added:
            self.judge(target, added)
        return len(added)

    def _put(self, db: sqlite3.Connection, set_id: int, item: SetItem, found_by: str) -> None:
        box = item.box
        db.execute(
            "INSERT INTO items (set_id, image_id, x, y, w, h, verdict, score, uri, width, height, "
            "metadata, found_by, position) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (set_id, image_id, x, y, w, h) DO UPDATE SET verdict = excluded.verdict, "
            "position = excluded.position",
            (
                *(set_id, item.image_id, box.x, box.y, box.w, box.h),
                *(item.verdict.value, item.score, item.uri, item.width, item.height),
                json.dumps(dict(item.metadata), ensure_ascii=False),
                found_by,
                self._next(db, "items", "position", set_id),
            ),
        )

    def _summaries(self, where: str, values: Sequence[int]) -> list[SetSummary]:
        rows = self._db.execute(
            "SELECT s.id, s.name, s.created, s.changed, coalesce(sum(i.verdict = 'yes'), 0), "
            "coalesce(sum(i.verdict = 'no'), 0), coalesce(sum(i.verdict = 'skip'), 0) "
            f"FROM sets s LEFT JOIN items i ON i.set_id = s.id {where} "
            "GROUP BY s.id ORDER BY s.changed DESC, s.id DESC",
            values,
        ).fetchall()
        return [SetSummary(*row) for row in rows]

    @staticmethod
    def _next(db: sqlite3.Connection, table: str, column: str, set_id: int) -> int:
        row = db.execute(
            f"SELECT coalesce(max({column}), 0) + 1 FROM {table} WHERE set_id = ?", (set_id,)
        ).fetchone()
        return int(row[0])

    @staticmethod
    def _require(db: sqlite3.Connection, set_id: int) -> None:
        if db.execute("SELECT 1 FROM sets WHERE id = ?", (set_id,)).fetchone() is None:
            raise _not_found(set_id)

    @staticmethod
    def _touch(db: sqlite3.Connection, set_id: int) -> None:
        db.execute(
            "UPDATE sets SET changed = strftime('%Y-%m-%dT%H:%M:%SZ', 'now') WHERE id = ?",
            (set_id,),
        )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


def _place(set_id: int, item: SetItem) -> tuple[int, str, int, int, int, int]:
    box = item.box
    return (set_id, item.image_id, box.x, box.y, box.w, box.h)


def _item(row: Sequence[object]) -> SetItem:
    image_id, uri, width, height, x, y, w, h, score, verdict, metadata = row
    return SetItem(
        image_id=str(image_id),
        uri=str(uri),
        width=int(str(width)),
        height=int(str(height)),
        box=Box(int(str(x)), int(str(y)), int(str(w)), int(str(h))),
        score=None if score is None else float(str(score)),
        verdict=Verdict(str(verdict)),
        metadata=json.loads(str(metadata)),
    )


def _checked_name(name: str) -> str:
    cleaned = " ".join(name.split())
    if not cleaned or len(cleaned) > MAX_NAME or not cleaned.isprintable():
        raise InvalidArgument(
            "SET_NAME_INVALID", f"a set's name has 1 to {MAX_NAME} printable characters"
        )
    return cleaned


def _not_found(set_id: int) -> NotFound:
    return NotFound("SET_NOT_FOUND", f"there is no set {set_id}; it may have been deleted")
