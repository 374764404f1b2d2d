"""The file of tokens: names, roles, hashes, limits; never a token.

A token is 256 random bits, so its SHA-256 gives nothing away and cannot be guessed at: a slow hash
(scrypt) protects what people make up, and would here only cost every call tens of milliseconds and
hand whoever knocks a way to keep the server busy.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from patchsearch.errors import FailedPrecondition
from service_runtime.roles import Role

MAX_TOKENS = 1000
"""Most tokens in a file: every one is compared with what a caller shows."""

_PREFIX = "ps_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")
_KEYS = {"name", "role", "sha256", "expires", "rate", "burst", "concurrency"}


@dataclass(frozen=True, slots=True)
class Quota:
    """How much a token may ask for: calls a second, at once after a pause, side by side."""

    rate: float | None = None
    burst: int | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """A token as it is kept: `sha256` is the hash's hex digits. `expires` is in UTC."""

    name: str
    role: Role
    sha256: str
    expires: datetime | None = None
    quota: Quota = Quota()


def new_token() -> str:
    """A fresh token; whoever reads it can use it."""
    return _PREFIX + secrets.token_urlsafe(32)


def hash_of(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def read_tokens(file: Path) -> tuple[TokenEntry, ...]:
    """The entries of a file; raises FailedPrecondition TOKENS_INVALID."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.get("format") != 1:
            raise ValueError('it is no object with "format": 1')
        entries = tuple(_entry(item) for item in document["tokens"])
        if len(entries) > MAX_TOKENS:
            raise ValueError(f"{len(entries)} tokens; at most {MAX_TOKENS}")
        for values in ([e.name for e in entries], [e.sha256 for e in entries]):
            if len(set(values)) < len(values):
                raise ValueError("a name or a hash is in it twice")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise FailedPrecondition(
            "TOKENS_INVALID",
            f"{file} is not a file of tokens ({error}); make one with `patchsearch token new`",
        ) from error
    return entries


def write_tokens(file: Path, entries: Sequence[TokenEntry]) -> None:
    """Replaces the file as a whole, readable by its owner only, durably."""
    document = {"format": 1, "tokens": [_plain(entry) for entry in entries]}
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as opened:
        json.dump(document, opened, indent=2)
        opened.write("\n")
        opened.flush()
        os.fsync(opened.fileno())
    temporary.replace(file)


def check_name(name: str) -> str:
    """The name, where it is one: 1 to 64 letters, digits and ._@-; ValueError otherwise."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: 1 to 64 letters, digits and ._@-")
    return name


def _entry(item: Any) -> TokenEntry:
    if unknown := set(item) - _KEYS:
        # A misspelt "expires" must not make a token that never ends.
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    digest = str(item["sha256"])
    if not _HASH.fullmatch(digest):
        raise ValueError("sha256 is not 64 hex digits")
    return TokenEntry(
        name=check_name(str(item["name"])),
        role=Role(item["role"]),
        sha256=digest,
        expires=_time(item.get("expires")),
        quota=Quota(
            rate=_positive(item, "rate", float),
            burst=_positive(item, "burst", int),
            concurrency=_positive(item, "concurrency", int),
        ),
    )


def _time(text: Any) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _positive(item: Mapping[str, Any], key: str, kind: type[Any]) -> Any:
    value = item.get(key)
    if value is None:
        return None
    number = kind(value)
    if number != value or not math.isfinite(number) or number <= 0:
        raise ValueError(f"{key} is {value!r}; it must be above 0")
    return number


def _plain(entry: TokenEntry) -> dict[str, Any]:
    fields = {
        "name": entry.name,
        "role": entry.role.value,
        "sha256": entry.sha256,
        "expires": None if entry.expires is None else entry.expires.isoformat(),
        "rate": entry.quota.rate,
        "burst": entry.quota.burst,
        "concurrency": entry.quota.concurrency,
    }
    return {key: value for key, value in fields.items() if value is not None}
