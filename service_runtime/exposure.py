"""Whether a port may be opened to other machines: with TLS and known callers, or if one insists."""

from __future__ import annotations

from collections.abc import Iterable

from patchsearch.errors import FailedPrecondition
from patchsearch.ports import is_loopback
from service_runtime.roles import is_internal
from service_runtime.settings import ServiceSettings, flag_and_variable


def check_exposure(settings: ServiceSettings, service_names: Iterable[str]) -> None:
    """Raises FailedPrecondition INSECURE_BIND for an address that just anybody could use.

    A public service needs TLS and tokens there. Services between programs of the cluster need TLS,
    and certificates of callers or tokens. `insecure` lets everything pass.
    """
    if is_loopback(settings.host) or settings.insecure:
        return
    internal = all(is_internal(name) for name in service_names)
    missing = []
    if settings.tls_cert is None:
        missing.append(f"a certificate ({flag_and_variable(settings, 'tls_cert')})")
    if internal and settings.tls_client_ca is None and settings.tokens is None:
        missing.append(f"the authority of callers ({flag_and_variable(settings, 'tls_client_ca')})")
    if not internal and settings.tokens is None:
        missing.append(f"tokens ({flag_and_variable(settings, 'tokens')})")
    if missing:
        raise FailedPrecondition(
            "INSECURE_BIND",
            f"listening on {settings.host} would let whoever reaches it in; give "
            f"{' and '.join(missing)}, listen on 127.0.0.1, or, where the network is kept safe by "
            f"other means, say so with {flag_and_variable(settings, 'insecure')}",
        )
