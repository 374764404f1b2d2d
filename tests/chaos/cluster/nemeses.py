"""What goes wrong: each nemesis harms one shard, or grows the cluster, while the load goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.cluster.fault_proxy import LinkState
from tests.chaos.cluster.processes import ROOT
from tests.chaos.cluster.world import World, command

HOLD_S = 1.5
_FULL_S = 10.0
"""Longest that a disk stays full while no write was refused for it."""
_OPERATION_S = 120.0

Nemesis = Callable[[World, random.Random], None]
"""Harms, waits, and makes it whole again."""


def _shard(world: World, chance: random.Random) -> str:
    held = {r.shard for p in world.placement.partitions for r in p.replicas}
    return chance.choice(sorted(held & world.shards.keys()))


def kill(world: World, chance: random.Random) -> None:
    """SIGKILL at a random moment; it is started again on its data."""
    server = world.shards[_shard(world, chance)]
    time.sleep(chance.uniform(0, 0.3))
    server.kill()
    time.sleep(chance.uniform(0.1, HOLD_S))
    server.start()
    server.wait_ready()


def stop(world: World, chance: random.Random) -> None:
    """SIGSTOP: it accepts connections and answers nothing."""
    server = world.shards[_shard(world, chance)]
    server.send(signal.SIGSTOP)
    time.sleep(2 * HOLD_S)
    server.send(signal.SIGCONT)


def _link(state: LinkState) -> Nemesis:
    def harm(world: World, chance: random.Random) -> None:
        name = _shard(world, chance)
        world.proxy.set(name, state)
        time.sleep(2 * HOLD_S)
        world.proxy.set(name, LinkState.UP)

    return harm


def fill_disk(world: World, chance: random.Random) -> None:
    """No space is left where one shard writes; searches must go on, and writes when there is.

    Small writes find room in pages that a store has freed, so writers send large ones meanwhile.
    """
    folder = world.room / "data" / _shard(world, chance)
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 4096):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    before, began = world.refused_for_disk(), time.monotonic()
    world.large_writes.set()
    while time.monotonic() < began + HOLD_S or (
        world.refused_for_disk() == before and time.monotonic() < began + _FULL_S
    ):
        time.sleep(0.1)
    world.large_writes.clear()
    filler.unlink()


class OperationFailed(Exception):
    """A command of an operator's ended with an error."""

    def __init__(self, arguments: tuple[str, ...], output: str) -> None:
        super().__init__(f"{' '.join(arguments)}: {output[-2000:]}")


def operate(world: World, *arguments: str, kill_after_s: float | None = None) -> None:
    """Runs `patchsearch cluster ...`; with `kill_after_s` it is killed then, and run again."""
    whole = ("cluster", *arguments, "--placement", str(world.placement_path))
    if kill_after_s is not None:
        first = subprocess.Popen(
            command(*whole), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            first.wait(kill_after_s)
        except subprocess.TimeoutExpired:
            first.kill()
            first.wait()
    done = subprocess.run(
        command(*whole), cwd=ROOT, capture_output=True, text=True, timeout=_OPERATION_S
    )
    if done.returncode:
        raise OperationFailed(whole, done.stdout + done.stderr)


def move(world: World, chance: random.Random) -> None:
    """A replica of a partition goes to another shard."""
    placement = world.placement
    partition = chance.choice(placement.partitions)
    holders = [replica.shard for replica in partition.replicas]
    others = sorted(set(placement.shards) - set(holders))
    if not others:
        return
    source, target = chance.choice(holders), chance.choice(others)
    killed = chance.uniform(0.5, 3.0) if chance.random() < 0.5 else None
    operate(world, "move", partition.id, source, target, kill_after_s=killed)


def split(world: World, chance: random.Random) -> None:
    """A partition becomes two."""
    partition = chance.choice(world.placement.partitions)
    if len(world.placement.partitions) < 12:
        operate(world, "split", partition.id)


def grow_and_shrink(world: World, chance: random.Random) -> None:
    """A shard more, with partitions on it; then it is drained and gone again."""
    name = f"shard-{len(world.shards)}-{chance.randrange(1000)}"
    address = world.add_shard(name)
    operate(world, "add-shard", name, address)
    operate(world, "remove-shard", name)
    world.shards.pop(name).close()


@contextmanager
def small_disks(room: Path, names: list[str], megabytes: int = 160) -> Iterator[bool]:
    """Gives each shard a disk of its own that can be full; tells whether that was possible."""
    mounted: list[Path] = []
    try:
        possible = os.geteuid() == 0
        for name in names if possible else []:
            folder = room / "data" / name
            folder.mkdir(parents=True, exist_ok=True)
            options = f"size={megabytes}m"
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True
            )
            if done.returncode:
                possible = False
                break
            mounted.append(folder)
        yield possible
    finally:
        for folder in mounted:
            subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


NEMESES: dict[str, Nemesis] = {
    "kill": kill,
    "stop": stop,
    "slow": _link(LinkState.SLOW),
    "silent": _link(LinkState.SILENT),
    "cut": _link(LinkState.CUT),
    "disk-full": fill_disk,
    "move": move,
    "split": split,
    "grow": grow_and_shrink,
}
