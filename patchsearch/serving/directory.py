"""The data directory of an embedded deployment: who holds it, what it was made with, what is where.

DIR/cluster.json     number of shards and encoder, remembered from the first start
DIR/placement.json   hash ranges -> partitions -> shards
DIR/shard-0/ ...     one shard's data each
DIR/logs/            one log a process, the last three runs kept
DIR/run/             ready files of the processes
DIR/serve.json       address and pids while it is served
DIR/serve.lock       locked while it is served
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from patchsearch.errors import FailedPrecondition, InvalidArgument
from patchsearch.serving.files import write_json

_DEFAULT_ENCODER = "mini"
_MAX_SHARDS = 64
_LOCK_PATIENCE_S = 0.5


class DataDirectory:
    """A directory that this process holds until `close`. One thread at a time.

    `shards` and `encoder` None take what the directory was made with; a new one gets one shard and
    the encoder "mini". Raises FailedPrecondition: DATA_DIR_IN_USE when another process serves it,
    SHARDS_DIFFER and ENCODER_MISMATCH when it was made with other ones, STORE_CORRUPT when
    cluster.json cannot be read; InvalidArgument (SHARDS_OUT_OF_RANGE).
    """

    def __init__(self, path: Path, shards: int | None, encoder: str | None) -> None:
        if shards is not None and not 1 <= shards <= _MAX_SHARDS:
            raise InvalidArgument(
                "SHARDS_OUT_OF_RANGE",
                f"{shards} shards were asked for; one machine takes 1 to {_MAX_SHARDS}",
            )
        self.path = path.absolute()
        _make(self.path)
        self._lock = _lock(self.path)
        try:
            self._facts = self._remembered(shards, encoder)
            for name in ("logs", "run", *self.shard_names):
                _make(self.path / name)
        except BaseException:
            self._lock.close()
            raise

    @property
    def shards(self) -> int:
        """How many shards the collection has."""
        return int(self._facts["shards"])

    @property
    def encoder(self) -> str:
        """Name of the encoder that the collection was made with."""
        return str(self._facts["encoder"])

    @property
    def shard_names(self) -> list[str]:
        """shard-0, shard-1, ...; each is a directory's name, too."""
        return [f"shard-{index}" for index in range(self.shards)]

    @property
    def placement_file(self) -> Path:
        return self.path / "placement.json"

    @property
    def partitions_created(self) -> bool:
        """Whether all partitions exist; from then on a missing one is a loss, not a beginning."""
        return bool(self._facts["partitions_created"])

    def remember_partitions(self) -> None:
        """Notes, durably, that all partitions exist."""
        if not self.partitions_created:
            self._facts = {**self._facts, "partitions_created": True}
            write_json(self.path / "cluster.json", self._facts)

    def ready_file(self, process: str) -> Path:
        return self.path / "run" / f"{process}.json"

    def log_file(self, process: str) -> Path:
        return self.path / "logs" / f"{process}.log"

    def announce(self, address: str, processes: Mapping[str, Mapping[str, Any]]) -> None:
        """Lets other programs find the running deployment: see `running_address`."""
        content = {"address": address, "pid": os.getpid(), "processes": dict(processes)}
        write_json(self.path / "serve.json", content)

    def close(self) -> None:
        """Gives the directory up."""
        (self.path / "serve.json").unlink(missing_ok=True)
        self._lock.close()

    def _remembered(self, shards: int | None, encoder: str | None) -> dict[str, Any]:
        file = self.path / "cluster.json"
        if not file.exists():
            # Partitions without cluster.json: it was lost. They must not be taken for new ones.
            facts: dict[str, Any] = {
                "format": 1,
                "shards": shards or 1,
                "encoder": encoder or _DEFAULT_ENCODER,
                "partitions_created": any(self.path.glob("shard-*/partitions/*")),
            }
            write_json(file, facts)
            return facts
        try:
            facts = json.loads(file.read_text(encoding="utf-8"))
            made_shards, made_encoder = int(facts["shards"]), str(facts["encoder"])
            bool(facts["partitions_created"])
        except (ValueError, TypeError, KeyError) as error:
            raise FailedPrecondition(
                "STORE_CORRUPT", f"{file} cannot be read ({error!r}); restore it from a copy"
            ) from error
        if shards not in (None, made_shards):
            raise FailedPrecondition(
                "SHARDS_DIFFER",
                f"{self.path} was made with --shards {made_shards}, now --shards {shards} is asked "
                f"for; leave it out, or start a new collection in another directory",
            )
        if encoder not in (None, made_encoder):
            raise FailedPrecondition(
                "ENCODER_MISMATCH",
                f"{self.path} was made with --encoder {made_encoder}, now --encoder {encoder} is "
                f"asked for; vectors of two encoders cannot be compared: leave it out, or ingest "
                f"into another directory",
            )
        return dict(facts)


def running_address(path: Path) -> str | None:
    """Address ("127.0.0.1:7100") of the deployment that serves the directory; None if none does."""
    try:
        with (path / "serve.lock").open("r", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        pass
    except OSError:
        return None
    try:
        return str(json.loads((path / "serve.json").read_text(encoding="utf-8"))["address"])
    except (OSError, ValueError, TypeError, KeyError):
        return None  # it is starting, or just stopping


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FailedPrecondition(
            "DATA_DIR_UNUSABLE",
            f"cannot use {path} as a directory for data: {error.strerror}; choose another one",
        ) from error


def _lock(path: Path) -> TextIO:
    try:
        file = (path / "serve.lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise FailedPrecondition(
            "DATA_DIR_UNUSABLE", f"cannot write in {path}: {error.strerror}; choose another one"
        ) from error
    until = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            # `running_address` holds it for an instant, too.
            if time.monotonic() < until:
                time.sleep(_LOCK_PATIENCE_S / 10)
                continue
            file.seek(0)
            holder = file.read().strip()
            file.close()
            raise FailedPrecondition(
                "DATA_DIR_IN_USE",
                f"{path} is being served by another program"
                + (f" (process {holder})" if holder else "")
                + "; stop that one, or choose another directory",
            ) from error
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file
