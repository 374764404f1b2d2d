"""A test authority and the certificates that it signs (extra `tls`)."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from patchsearch.errors import FailedPrecondition, InvalidArgument

CLIENT = "client"
"""Name of the certificate that operators' tools show to shards and encoders."""

_CA_DAYS = 3650
# Clocks differ; a certificate that is not valid yet is refused.
_BACKDATE = timedelta(minutes=10)
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?")
_LOCAL = ("localhost", "127.0.0.1")


def make_certificates(
    directory: Path, hosts: Sequence[str], *, days: int = 365
) -> Mapping[Path, str]:
    """Writes ca.crt and ca.key, HOST.crt and HOST.key for each host, client.crt and client.key.

    The authority is made once and used again; the others are made anew each time, valid for `days`
    days from now. A host's certificate is for servers and for calling other services, under the
    host's name, localhost and 127.0.0.1 (for health checks on the machine). Keys are P-256,
    unencrypted PEM, readable by their owner only.

    Returns the files and what each is for. Raises InvalidArgument HOST_INVALID, FailedPrecondition
    TLS_FILE_UNREADABLE for an authority that cannot be used, OSError.
    """
    for host in hosts:
        if not _is_address(host) and (not _HOST.fullmatch(host) or host in ("ca", CLIENT)):
            raise InvalidArgument(
                "HOST_INVALID", f"{host!r} is no name or address of a host; give such as shard-0"
            )
    directory.mkdir(parents=True, exist_ok=True)
    authority = _Authority(directory, days)
    written = {
        directory / "ca.crt": "the authority: --tls-ca, --tls-client-ca, Client(tls_ca=...)",
        directory / "ca.key": "its key: keep it elsewhere",
    }
    for host in hosts:
        name = host.replace("*", "wildcard").replace(":", "_")
        pair = authority.issue(
            name,
            host,
            [host, *(local for local in _LOCAL if local != host)],
            [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
        )
        written |= {pair[0]: f"{host}: --tls-cert", pair[1]: f"{host}: --tls-key"}
    pair = authority.issue(CLIENT, "patchsearch-client", [], [ExtendedKeyUsageOID.CLIENT_AUTH])
    tools = "for operators' tools:"
    return {**written, pair[0]: f"{tools} --tls-cert", pair[1]: f"{tools} --tls-key"}


class _Authority:
    def __init__(self, directory: Path, days: int) -> None:
        self._directory = directory
        self._now = datetime.now(UTC)
        self._until = self._now + timedelta(days=days)
        cert, key = directory / "ca.crt", directory / "ca.key"
        if cert.exists() or key.exists():
            self._cert, self._key = _load(cert, key)
            self._until = min(self._until, self._cert.not_valid_after_utc)
            return
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = _name("patchsearch test authority")
        self._cert = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _BACKDATE)
            .not_valid_after(self._now + timedelta(days=_CA_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        _write(key, _key_pem(self._key), secret=True)
        _write(cert, self._cert.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        file_name: str,
        common_name: str,
        names: Sequence[str],
        purposes: Sequence[x509.ObjectIdentifier],
    ) -> tuple[Path, Path]:
        """Writes a certificate and its key; the files."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(common_name))
            .issuer_name(self._cert.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _BACKDATE)
            .not_valid_after(self._until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False
            )
        cert = builder.sign(self._key, hashes.SHA256())
        paths = self._directory / f"{file_name}.crt", self._directory / f"{file_name}.key"
        _write(paths[1], _key_pem(key), secret=True)
        _write(paths[0], cert.public_bytes(serialization.Encoding.PEM))
        return paths


def _load(cert: Path, key: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        authority = x509.load_pem_x509_certificate(cert.read_bytes())
        loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ValueError("its key is of another kind")
        if authority.public_key() != loaded.public_key():
            raise ValueError("certificate and key do not belong together")
    except (OSError, ValueError, TypeError) as error:
        raise FailedPrecondition(
            "TLS_FILE_UNREADABLE",
            f"the authority in {cert} and {key} cannot be used ({error}); put both files back, or "
            "make a new one in another directory",
        ) from error
    return authority, loaded


def _name(common_name: str) -> x509.Name:
    # At most 64 characters fit; a longer host stands among the alternative names.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _alternative(host: str) -> x509.GeneralName:
    if _is_address(host):
        return x509.IPAddress(ipaddress.ip_address(host))
    return x509.DNSName(host)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, content: bytes, *, secret: bool = False) -> None:
    """Replaces a file as a whole: a server that reads it sees the old or the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    mode = 0o600 if secret else 0o644
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(descriptor, "wb") as opened:
        opened.write(content)
    temporary.replace(path)
