"""Which other shards a shard lets itself be told to fetch from."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from fnmatch import fnmatchcase

from patchsearch.errors import PermissionDenied
from patchsearch.ports import is_loopback
from patchsearch.wire.security import host_of
from shard_service.validation import check_source


class Peers:
    """Judges the addresses of sources, which callers name. Thread-safe.

    `allowed` are networks (10.0.0.0/8), which hosts given by number must lie in, and names of hosts
    (shard-*.shards.example), which others must match; a name is not looked up. Where nothing is
    listed, loopback is allowed, and everything else if `elsewhere` says so.
    """

    def __init__(self, allowed: Sequence[str] = (), *, elsewhere: bool = True) -> None:
        self._elsewhere = elsewhere
        networks = [(one, network_of(one)) for one in allowed]
        self._networks = [network for _, network in networks if network is not None]
        self._names = [one.lower() for one, network in networks if network is None]
        self._all = tuple(allowed)

    def check(self, address: str) -> None:
        """Raises InvalidArgument SOURCE_INVALID unless `address` is host:port, PermissionDenied
        SOURCE_NOT_ALLOWED unless it is allowed."""
        check_source(address)
        host = host_of(address)
        if self._all:
            if self._listed(host):
                return
            why = f"it is none of --peers ({', '.join(self._all)}); add it there"
        elif self._elsewhere or is_loopback(host):
            return
        else:
            why = (
                "this shard calls others without TLS; give it --tls-ca, or allow addresses with "
                "--peers"
            )
        raise PermissionDenied(
            "SOURCE_NOT_ALLOWED",
            f"nothing is fetched from {address}: {why}",
            metadata={"source": address},
        )

    def _listed(self, host: str) -> bool:
        try:
            number = ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return any(fnmatchcase(host.lower(), name) for name in self._names)
        return any(number in network for network in self._networks)


def network_of(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The network that `text` writes, a single address counts as one; None for a name."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
