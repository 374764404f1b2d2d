"""TLS of a server's port, and of the channels to other services; files are read again on change."""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

import grpc

from patchsearch.errors import FailedPrecondition, PatchsearchError
from patchsearch.wire.security import PLAIN, ChannelSecurity, read_pem
from service_runtime.file_watch import signature
from service_runtime.logs import logger

__all__ = ["PLAIN", "ChannelSecurity", "ServerSecurity"]


@dataclass(frozen=True, kw_only=True)
class ServerSecurity:
    """The certificate that a port shows, and who may connect to it. Frozen, thread-safe.

    `cert` (the whole chain) and `key` are PEM files. With `client_ca`, a PEM file of authorities,
    a caller must show a certificate that one of them signed, or the handshake fails (mTLS).
    """

    cert: Path
    key: Path
    client_ca: Path | None = None

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials that follow the files: every new connection gets what they hold by then.

        Files that do not fit together, as in the middle of a renewal, leave the old ones in use and
        a line in the log. Raises FailedPrecondition TLS_FILE_UNREADABLE, TLS_PAIR_MISMATCH when
        they are bad now.
        """
        current = _Certificates(self)
        return grpc.dynamic_ssl_server_credentials(
            current.load(),
            current.changed,  # type: ignore[arg-type]  # the stubs know no None for "no change"
            require_client_authentication=self.client_ca is not None,
        )


class _Certificates:
    """What the files hold, and whether that changed. Thread-safe."""

    def __init__(self, security: ServerSecurity) -> None:
        self._security = security
        files = (security.cert, security.key, security.client_ca)
        self._files = tuple(file for file in files if file is not None)
        self._lock = threading.Lock()
        self._seen = signature(self._files)
        self._refused = self._seen

    def load(self) -> grpc.ServerCertificateConfiguration:
        security = self._security
        ca = None if security.client_ca is None else read_pem(security.client_ca)
        pair = read_pem(security.key), read_pem(security.cert)
        check_pair(security.cert, security.key)
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=ca)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """What grpc asks before each handshake: the new configuration, None where none is new."""
        with self._lock:
            now = signature(self._files)
            if now == self._seen:
                return None
            log = logger("tls")
            try:
                fresh = self.load()
                settled = signature(self._files) == now
            except PatchsearchError as error:
                if now != self._refused:  # once, not at every handshake
                    self._refused = now
                    log.error("certificates not renewed; the old ones stay", reason=str(error))
                return None
            if not settled:  # still being written: the next handshake looks again
                return None
            self._seen = now
            log.info("certificates renewed", cert=str(self._security.cert))
            return fresh


def check_pair(cert: Path, key: Path) -> None:
    """Raises FailedPrecondition TLS_PAIR_MISMATCH unless the key belongs to the certificate."""
    try:
        # grpc would only fail every handshake, without a word of why.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except (OSError, ValueError) as error:
        raise FailedPrecondition(
            "TLS_PAIR_MISMATCH",
            f"{cert} and {key} are no certificate and its unencrypted key ({error}); give the two "
            "files that were made together",
        ) from error
