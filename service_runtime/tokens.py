"""The tokens that a server knows: looked up in constant time, read again when the file changes."""

from __future__ import annotations

import hmac
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from patchsearch.errors import PatchsearchError, Unauthenticated
from service_runtime.file_watch import signature
from service_runtime.logs import logger
from service_runtime.quota import Meter
from service_runtime.token_file import TokenEntry, hash_of, read_tokens


@dataclass(frozen=True, slots=True)
class KnownToken:
    """An entry of the file, and what its bearer has used of its quota."""

    entry: TokenEntry
    meter: Meter


class TokenBook:
    """The tokens of one file. Thread-safe.

    The file is looked at on every call. One that cannot be read leaves the tokens as they were, and
    a line in the log: a slip of an editor must not lock everybody out.
    """

    def __init__(self, file: Path) -> None:
        """Raises FailedPrecondition TOKENS_INVALID."""
        self._file = file
        self._lock = threading.Lock()
        self._seen = signature([file])
        self._known: tuple[KnownToken, ...] = ()
        self._take(read_tokens(file))

    def find(self, token: str) -> KnownToken:
        """The entry of a token; raises Unauthenticated TOKEN_INVALID or TOKEN_EXPIRED."""
        shown = hash_of(token)
        found: KnownToken | None = None
        # All are compared, each in a time that does not depend on where it differs: how long an
        # answer takes says nothing about the tokens that exist.
        for known in self._current():
            if hmac.compare_digest(known.entry.sha256, shown):
                found = known
        if found is None:
            raise Unauthenticated(
                "TOKEN_INVALID",
                "this token is not known here, or was revoked; ask the operator for one",
            )
        expires = found.entry.expires
        if expires is not None and expires <= datetime.now(UTC):
            raise Unauthenticated(
                "TOKEN_EXPIRED",
                f"token {found.entry.name} expired at {expires:%Y-%m-%d %H:%M} UTC; ask the "
                "operator for a new one",
                metadata={"token": found.entry.name},
            )
        return found

    def _current(self) -> tuple[KnownToken, ...]:
        now = signature([self._file])
        if now == self._seen:
            return self._known
        with self._lock:
            if now != self._seen:
                try:
                    self._take(read_tokens(self._file))
                    logger("tokens").info("tokens read again", count=len(self._known))
                except PatchsearchError as error:
                    logger("tokens").error("tokens not read; the old ones stay", reason=str(error))
                # Last: until then, calls wait here rather than pass by what was revoked.
                self._seen = now
            return self._known

    def _take(self, entries: tuple[TokenEntry, ...]) -> None:
        before = {known.entry.name: known for known in self._known}
        # What was used of a quota stays used, unless the quota itself changed.
        self._known = tuple(
            KnownToken(entry, old.meter)
            if (old := before.get(entry.name)) is not None and old.entry.quota == entry.quota
            else KnownToken(entry, Meter(entry.name, entry.quota))
            for entry in entries
        )
