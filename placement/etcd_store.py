"""The placement under one key of etcd (v3 API)."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from patchsearch.errors import FailedPrecondition, InvalidArgument, Unavailable
from placement.changed import changed, check_follows, check_unchanged
from placement.document import Placement, no_placement, parse_placement, placement_document

try:
    import requests
    from etcd3gw import exceptions
    from etcd3gw.client import Etcd3Client
except ModuleNotFoundError as error:
    raise FailedPrecondition(
        "EXTRA_MISSING", f"a placement in etcd needs {error.name}: pip install 'patchsearch[etcd]'"
    ) from error

_CALL_TIMEOUT_S = 3.0
_POLL_S = 0.25
_OPTIONS = ("ca", "cert", "key")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EtcdPlace:
    """Where in which etcd: its members, the key, and the files for TLS (all or none)."""

    members: tuple[tuple[str, int], ...]
    key: str
    tls: bool = False
    ca: str | None = None
    cert: str | None = None
    cert_key: str | None = None


def open_etcd_store(url: str) -> EtcdPlacementStore:
    """The store at `etcd://host:port[,host:port...]/key`; see `parse_etcd_url`."""
    return EtcdPlacementStore(parse_etcd_url(url))


def parse_etcd_url(url: str) -> EtcdPlace:
    """`etcd://host:port[,host:port...]/key`, or `etcds://.../key?ca=FILE&cert=FILE&key=FILE` over
    TLS, with a certificate of its own where etcd asks for one.

    Raises InvalidArgument PLACEMENT_URL_INVALID.
    """
    scheme, _, rest = url.partition("://")
    members, slash, path = rest.partition("/")
    split = urlsplit(f"//x/{path}")
    key = split.path.lstrip("/")
    options = dict(parse_qsl(split.query))
    if not slash or not key or (unknown := set(options) - set(_OPTIONS)):
        what = f"has the unknown option {unknown.pop()!r}" if slash and key else "names no key"
        raise _bad_url(url, what)
    if ("cert" in options) != ("key" in options):
        raise _bad_url(url, "has one of cert and key; a certificate needs both")
    if options and scheme != "etcds":
        raise _bad_url(url, "has files for TLS, and the scheme for TLS is etcds://")
    return EtcdPlace(
        members=tuple(_member(member, url) for member in members.split(",")),
        key=key,
        tls=scheme == "etcds",
        ca=options.get("ca"),
        cert=options.get("cert"),
        cert_key=options.get("key"),
    )


class EtcdPlacementStore:
    """A `PlacementStore` under one key of etcd. Thread-safe.

    Replacing is a transaction that compares the key's revision. A member that does not answer is
    passed over for the next one. `wait_for_change` asks for the key's revision four times a second
    rather than to be told: that goes on by itself after any failure (docs/decisions/013).
    """

    def __init__(self, place: EtcdPlace) -> None:
        """Connects to nobody yet."""
        self._place = place
        self._session = _session(place)
        self._clients = [
            Etcd3Client(
                host,
                port,
                protocol="https" if place.tls else "http",
                timeout=_CALL_TIMEOUT_S,
                api_path="/v3/",
                session=self._session,
            )
            for host, port in place.members
        ]
        self._good = 0
        self._revision: int | None = None
        self._closed = threading.Event()

    def __str__(self) -> str:
        members = ",".join(f"{host}:{port}" for host, port in self._place.members)
        return f"{'etcds' if self._place.tls else 'etcd'}://{members}/{self._place.key}"

    def load(self) -> Placement:
        """See `PlacementStore.load`."""
        found, revision = self._get()
        self._revision = revision
        if found is None:
            raise no_placement(str(self))
        return self._parsed(found)

    def replace(self, placement: Placement, expected_epoch: int | None) -> None:
        """See `PlacementStore.replace`. Raises Unavailable PLACEMENT_UNAVAILABLE when no member
        answers: it may be stored nevertheless."""
        check_follows(placement, expected_epoch)
        content = json.dumps(placement_document(placement), indent=2).encode()
        found, revision = self._get()
        check_unchanged(str(self), None if found is None else self._parsed(found), expected_epoch)
        if self._put(content, revision):
            return
        found, _ = self._get()
        raise changed(
            str(self), None if found is None else self._parsed(found).epoch, expected_epoch
        )

    def wait_for_change(self, timeout_s: float) -> bool:
        """See `PlacementStore.wait_for_change`; false while no member answers."""
        until = time.monotonic() + timeout_s
        while not self._closed.is_set():
            try:
                if self._get(keys_only=True)[1] != self._revision:
                    return True
            except Unavailable:
                pass
            left = until - time.monotonic()
            if left <= 0:
                return False
            self._closed.wait(min(_POLL_S, left))
        return False

    def close(self) -> None:
        """See `PlacementStore.close`."""
        self._closed.set()
        self._session.close()

    def _get(self, *, keys_only: bool = False) -> tuple[bytes | None, int | None]:
        """The value and the revision of its last change; None where there is none."""
        rows = self._asked(
            lambda client: client.get(self._place.key, metadata=True, keys_only=keys_only)
        )
        if not rows:
            return None, None
        value, about = rows[0]
        return bytes(value), int(about["mod_revision"])

    def _put(self, content: bytes, revision: int | None) -> bool:
        """Whether the key had that revision and has the new content now."""
        key = base64.b64encode(self._place.key.encode()).decode()
        # A key that is not there counts as changed at revision 0.
        unchanged = {"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": revision or 0}
        put = {"request_put": {"key": key, "value": base64.b64encode(content).decode()}}
        transaction = {"compare": [unchanged], "success": [put], "failure": []}
        unanswered: list[Exception] = []
        answer = self._asked(lambda client: client.transaction(transaction), unanswered)
        if answer.get("succeeded"):
            return True
        # A member that did not answer may have done it all the same.
        return bool(unanswered) and self._get()[0] == content

    def _asked(
        self, ask: Callable[[Etcd3Client], T], unanswered: list[Exception] | None = None
    ) -> T:
        failures = [] if unanswered is None else unanswered
        first = self._good
        for turn in range(len(self._clients)):
            index = (first + turn) % len(self._clients)
            try:
                answer = ask(self._clients[index])
            except (exceptions.Etcd3Exception, requests.RequestException, ValueError) as error:
                failures.append(error)
            else:
                self._good = index
                return answer
        last = failures[-1]
        detail = getattr(last, "detail_text", None) or str(last) or type(last).__name__
        raise Unavailable(
            "PLACEMENT_UNAVAILABLE",
            f"no member of {self} answers: {detail.strip()}; start etcd, or give the right address",
        ) from last

    def _parsed(self, content: bytes) -> Placement:
        try:
            document: Any = json.loads(content)
        except ValueError as error:
            raise FailedPrecondition(
                "PLACEMENT_INVALID", f"{self} is not JSON: {error}", metadata={"place": str(self)}
            ) from error
        return parse_placement(document, str(self))


def _session(place: EtcdPlace) -> requests.Session:
    session = requests.Session()
    # A proxy for the web is no way to a service in this cluster.
    session.trust_env = False
    if place.ca is not None:
        session.verify = place.ca
    if place.cert is not None and place.cert_key is not None:
        session.cert = (place.cert, place.cert_key)
    return session


def _member(member: str, url: str) -> tuple[str, int]:
    host, _, port = member.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise _bad_url(url, f"has the member {member!r}; it must be host:port")
    return host.strip("[]"), int(port)


def _bad_url(url: str, what: str) -> InvalidArgument:
    return InvalidArgument(
        "PLACEMENT_URL_INVALID", f"{url!r} {what}: write etcd://host:port[,host:port...]/key"
    )
