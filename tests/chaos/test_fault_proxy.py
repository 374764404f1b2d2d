"""The links of the cluster campaign do what they say."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.chaos.cluster.fault_proxy import FaultProxy, LinkState


@contextmanager
def echoing() -> Iterator[int]:
    """The port of a server that sends back what it gets."""
    door = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = door.accept()
            except OSError:
                return
            with client:
                while data := client.recv(100):
                    client.sendall(data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield door.getsockname()[1]
    finally:
        door.shutdown(socket.SHUT_RDWR)
        door.close()
        thread.join(5)


def test_a_link_passes_holds_and_cuts() -> None:
    with echoing() as port, FaultProxy(delay_s=0.05) as proxy:
        through = proxy.link("a", port)
        with socket.create_connection(("127.0.0.1", through), timeout=5) as client:
            client.sendall(b"one")
            assert client.recv(10) == b"one"
            proxy.set("a", LinkState.SILENT)
            client.sendall(b"two")
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.recv(10)
            proxy.set("a", LinkState.SLOW)
            client.settimeout(5)
            assert client.recv(10) == b"two"
            proxy.set("a", LinkState.CUT)
            with pytest.raises(ConnectionError):
                client.sendall(b"three")
                if not client.recv(10):
                    raise ConnectionError
