"""Lets calls in by role: what a token or a certificate is good for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc

from patchsearch.errors import PermissionDenied, Unauthenticated
from patchsearch.wire.security import AUTHORIZATION
from service_runtime.caller import ANONYMOUS, Caller, certificate_names
from service_runtime.quota import Meter
from service_runtime.roles import LEAST_ROLES, Role
from service_runtime.tokens import TokenBook

_HEALTH = "/grpc.health."
_REFLECTION = "/grpc.reflection."


@dataclass(frozen=True, slots=True)
class Admission:
    """A call that was let in by what its headers say. `meter` counts it while it runs."""

    caller: Caller
    meter: Meter | None = None
    by_certificate: bool = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """While the call runs; raises ResourceExhausted QUOTA_EXCEEDED."""
        if self.meter is None:
            yield
            return
        with self.meter.running():
            yield


_OPEN = Admission(ANONYMOUS)
_BY_CERTIFICATE = Admission(ANONYMOUS, by_certificate=True)


class Doorkeeper:
    """Decides by the table `LEAST_ROLES`. Thread-safe.

    - A call for SERVICE: a certificate of `client_ca`, which the handshake has verified, is enough;
      where there is none, a token of the role service.
    - Every other call: a token of at least that role; certificates do not stand in for it.
    - Health is open to whoever can connect. Reflection needs any token where tokens are asked for.
    - Without tokens (and, for SERVICE, certificates) nobody is asked: see `exposure` for when a
      server may run like that.
    """

    def __init__(
        self,
        tokens: TokenBook | None = None,
        *,
        certificates: bool = False,
        certificate_names: Iterable[str] = (),
    ) -> None:
        """`certificates`: every connection shows one. Only those of `certificate_names` may call,
        where any is given."""
        self._tokens = tokens
        self._certificates = certificates
        self._names = frozenset(certificate_names)

    def admit(self, method: str, metadata: Iterable[tuple[str, str | bytes]] | None) -> Admission:
        """Judges a call by its headers, before its message is read.

        Raises Unauthenticated TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED; PermissionDenied
        ROLE_TOO_LOW; ResourceExhausted QUOTA_EXCEEDED.
        """
        if method.startswith(_HEALTH):
            return _OPEN
        # What is not in the table is closed to all but those who may do everything.
        needed = LEAST_ROLES.get(method, Role.ADMIN)
        if needed is Role.SERVICE and self._certificates:
            return _BY_CERTIFICATE
        if self._tokens is None:
            return _BY_CERTIFICATE if self._certificates else _OPEN
        known = self._tokens.find(_token(metadata))
        entry = known.entry
        if not (method.startswith(_REFLECTION) or entry.role.covers(needed)):
            raise PermissionDenied(
                "ROLE_TOO_LOW",
                f"token {entry.name} has the role {entry.role.value}, and this call needs "
                f"{needed.value}; ask the operator for such a token",
                metadata={
                    "token": entry.name,
                    "role": entry.role.value,
                    "needed": needed.value,
                },
            )
        known.meter.spend()
        return Admission(
            Caller(f"token:{entry.name}", entry.role), known.meter, by_certificate=False
        )

    def recognise(self, admission: Admission, context: grpc.ServicerContext) -> Caller:
        """Who it is, now that the connection can be asked for its certificate.

        Raises PermissionDenied CERTIFICATE_NOT_ALLOWED.
        """
        if not self._certificates:
            return admission.caller
        names = certificate_names(context)
        if self._names and not self._names.intersection(names):
            raise PermissionDenied(
                "CERTIFICATE_NOT_ALLOWED",
                f"the certificate of {names[0] if names else 'nobody'} is not among those that may "
                "call here; add its name to tls_client_names, or use another one",
            )
        if not admission.by_certificate:
            return admission.caller
        return Caller(f"certificate:{names[0] if names else '?'}", Role.SERVICE)


def _token(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    shown = [value for key, value in metadata or () if key == AUTHORIZATION]
    if not shown:
        raise Unauthenticated(
            "TOKEN_MISSING",
            "this server asks for a token; give it as PATCHSEARCH_TOKEN, Client(token=...) or the "
            "header 'authorization: Bearer TOKEN'",
        )
    text = shown[0] if isinstance(shown[0], str) else shown[0].decode("latin-1")
    scheme, _, token = text.partition(" ")
    if len(shown) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated(
            "TOKEN_INVALID", "the authorization header must be one 'Bearer TOKEN', once"
        )
    return token.strip()
