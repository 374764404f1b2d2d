"""How a connection is kept safe: TLS, a certificate of one's own, a token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from patchsearch.errors import FailedPrecondition, InvalidArgument
from patchsearch.ports import is_loopback
from patchsearch.wire.addresses import channel_target, split_addresses

AUTHORIZATION = "authorization"
"""Metadata key of the token: `Bearer TOKEN` (RFC 6750)."""


@dataclass(frozen=True, kw_only=True)
class ChannelSecurity:
    """What a channel is opened with. Frozen, thread-safe; files are read when asked for.

    TLS is used where `tls` is true or any of the files is given. `ca` is a PEM file of the
    authorities that may have signed the server's certificate; without it the public ones of gRPC
    count. `cert` and `key` are the PEM files of the certificate that this side shows (mTLS).
    `token`, or the first line of `token_file`, is sent with every call. A token is sent in the
    clear only to this machine, or where `plaintext_token` says so: TLS ends in a proxy in front.

    Raises InvalidArgument TLS_PAIR_INCOMPLETE for a `cert` without a `key` or the other way round.
    """

    tls: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    plaintext_token: bool = False

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise InvalidArgument(
                "TLS_PAIR_INCOMPLETE",
                "a certificate and its key belong together; give both files, or neither",
            )

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.tls or bool(self.files)

    @property
    def files(self) -> tuple[Path, ...]:
        """The PEM files; a new connection after a change of them needs new credentials."""
        return tuple(file for file in (self.ca, self.cert, self.key) if file is not None)

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Credentials of the files as they are now; None without TLS.

        Raises FailedPrecondition TLS_FILE_UNREADABLE.
        """
        if not self.uses_tls:
            return None
        ca, cert, key = (
            None if file is None else read_pem(file) for file in (self.ca, self.cert, self.key)
        )
        return grpc.ssl_channel_credentials(ca, key, cert)

    def metadata(self) -> Sequence[tuple[str, str]]:
        """What every call carries: the token, or nothing.

        Raises FailedPrecondition TOKEN_FILE_UNREADABLE.
        """
        token = self.token
        if token is None and self.token_file is not None:
            try:
                token = self.token_file.read_text(encoding="ascii").strip()
            except (OSError, UnicodeError) as error:
                raise FailedPrecondition(
                    "TOKEN_FILE_UNREADABLE",
                    f"cannot read a token from {self.token_file} ({error}); write it there with "
                    "`patchsearch token new`",
                ) from error
        return () if not token else ((AUTHORIZATION, f"Bearer {_fit(token)}"),)

    def check(self, address: str) -> None:
        """Raises InvalidArgument TOKEN_WITHOUT_TLS where a token would travel in the clear."""
        if self.uses_tls or self.plaintext_token:
            return
        hosts = [host_of(one) for one in split_addresses(address)]
        if (self.token or self.token_file) and not all(is_loopback(host) for host in hosts):
            raise InvalidArgument(
                "TOKEN_WITHOUT_TLS",
                f"the token would travel to {address} in the clear; use TLS (--tls-ca), or say "
                "--insecure where a proxy in front of the server ends TLS",
            )


PLAIN = ChannelSecurity()
"""No TLS, no token: for loopback."""


def host_of(address: str) -> str:
    """The host in `host:port`."""
    return address.rpartition(":")[0].strip("[]")


def read_pem(file: Path) -> bytes:
    """A PEM file's bytes; raises FailedPrecondition TLS_FILE_UNREADABLE."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise FailedPrecondition(
            "TLS_FILE_UNREADABLE",
            f"cannot read {file} ({error.strerror}); `patchsearch tls init` makes such files",
        ) from error
    if b"-----BEGIN " not in data:
        raise FailedPrecondition(
            "TLS_FILE_UNREADABLE", f"{file} is no PEM file; give certificates and keys as PEM"
        )
    return data


def client_security(
    address: str,
    tls_ca: Path | str | None,
    token: str | None,
    security: ChannelSecurity | None,
) -> ChannelSecurity:
    """What a client was given, as one; checked for the address.

    Raises TypeError where `security` comes with one of the others, and what `check` raises.
    """
    if security is not None and (tls_ca is not None or token is not None):
        raise TypeError("give tls_ca and token, or security, which has both; not both ways")
    chosen = security or ChannelSecurity(ca=None if tls_ca is None else Path(tls_ca), token=token)
    chosen.check(address)
    return chosen


def open_plain_or_tls(
    address: str, security: ChannelSecurity, options: Sequence[tuple[str, Any]]
) -> grpc.Channel:
    """A channel as `security` says, without its token: that is metadata of the calls.

    Raises what `ChannelSecurity.check`, `ChannelSecurity.credentials` and `channel_target` raise.
    """
    security.check(address)
    credentials = security.credentials()
    target = channel_target(address)
    options = [*options, *target.options]
    if credentials is None:
        return grpc.insecure_channel(target.name, options)
    return grpc.secure_channel(target.name, credentials, options)


def _fit(token: str) -> str:
    # Anything else would break the header, and grpc would say so without a hint.
    if not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidArgument(
            "TOKEN_MALFORMED", "a token is one word of ASCII; give it as it was printed"
        )
    return token
