"""Connections that want nothing, and connections that want too much attention."""

from __future__ import annotations

import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_PING = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00"
_RESET = b"\x00\x00\x04\x03\x00"


def _connected(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10)


@contextmanager
def idle_connections(address: str, count: int) -> Iterator[int]:
    """So many open connections, one half of which speaks HTTP/2; gives how many came about."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 500
    if soft < wanted:
        room = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (room, hard))
    with ExitStack() as stack:
        opened = 0
        for number in range(count):
            with suppress(OSError):
                connection = stack.enter_context(_connected(address))
                if number % 2:
                    connection.sendall(_PREFACE)
                opened += 1
        yield opened


def ping_flood(address: str, pings: int) -> int:
    """Sends pings on one connection until it is closed; gives how many were taken."""
    sent = 0
    with _connected(address) as connection, suppress(OSError):
        connection.sendall(_PREFACE)
        while sent < pings:
            connection.sendall((_PING + struct.pack(">Q", sent)) * 100)
            sent += 100
            connection.setblocking(False)
            with suppress(BlockingIOError):
                while data := connection.recv(65536):
                    pass
                if data == b"":
                    break
            connection.settimeout(2)
    return sent


def garbage(address: str) -> None:
    """Bytes that are no HTTP/2, frames for streams that are not there, settings without end."""
    frames = (
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
        bytes(range(256)) * 64,
        _PREFACE + (_RESET + struct.pack(">II", 1, 8)) * 5000,
        _PREFACE + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + b"\x00" * 100_000,
        _PREFACE + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" * 20_000,
    )
    for data in frames:
        with suppress(OSError), _connected(address) as connection:
            connection.settimeout(2)
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
