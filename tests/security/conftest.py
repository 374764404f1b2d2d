"""Certificates, tokens, and servers of every service that answer everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from patchsearch.certificates import make_certificates
from patchsearch.wire.security import ChannelSecurity
from service_runtime.roles import Role
from service_runtime.token_file import Quota, TokenEntry, hash_of, new_token, write_tokens


@dataclass(frozen=True)
class Certificates:
    """A directory that `patchsearch tls init` made."""

    directory: Path

    @property
    def ca(self) -> Path:
        return self.directory / "ca.crt"

    def pair(self, name: str) -> dict[str, Path]:
        """cert and key, as `ChannelSecurity` takes them."""
        return {"cert": self.directory / f"{name}.crt", "key": self.directory / f"{name}.key"}

    def server(self, name: str) -> dict[str, Path]:
        """tls_cert and tls_key, as `ServiceSettings` take them."""
        return {f"tls_{key}": path for key, path in self.pair(name).items()}


class Tokens:
    """A file of tokens that grows."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._entries: list[TokenEntry] = []
        write_tokens(file, [])

    def add(
        self,
        role: Role,
        *,
        name: str | None = None,
        expires_in: timedelta | None = None,
        **quota: Any,
    ) -> str:
        token = new_token()
        entry = TokenEntry(
            name or f"{role.value}-{len(self._entries)}",
            role,
            hash_of(token),
            None if expires_in is None else datetime.now(UTC) + expires_in,
            Quota(**quota),
        )
        self._entries.append(entry)
        write_tokens(self.file, self._entries)
        return token

    def revoke(self, name: str) -> None:
        self._entries = [entry for entry in self._entries if entry.name != name]
        write_tokens(self.file, self._entries)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    directory = tmp_path_factory.mktemp("certificates")
    make_certificates(directory, ["router", "shard"], days=2)
    return Certificates(directory)


@pytest.fixture(scope="session")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Of an authority that nobody trusts."""
    directory = tmp_path_factory.mktemp("strangers")
    make_certificates(directory, ["router", "shard"], days=2)
    return Certificates(directory)


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path / "tokens.json")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as entered:
        yield entered


Opened = Callable[..., ChannelSecurity]
