"""Lives of a store that end in a kill or a power loss, and damage in between: the state that each
start shows must be one that the lives before allow.

`python -m tests.shard_service.unfinished_lives DIRECTORY FIRST LAST` tries many seeds."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np

from shard_service.integrity.prepared_store import prepare_store
from shard_service.store.images import DeleteImage, Operation
from shard_service.store.meta import create_environment
from shard_service.store.patch_store import PatchStore
from tests.chaos.partition.store_states import spoil_older_meta_page
from tests.shard_service.damaged_stores import IDENTITY, PAGE, put_operation

_MAP = 1 << 24
_NOTES = ("commits", "changes")

State = dict[bytes, int]
"""Image -> version of its last patch; those that are deleted are not there."""


class Lives:
    """One partition and what it may hold. Raises AssertionError where it holds something else."""

    def __init__(self, partition: Path, seed: int) -> None:
        self._partition = partition
        self._environment = partition / "lmdb"
        self._rng = np.random.default_rng(seed)
        self._version = 0
        self._told: list[str] = []
        self._allowed: list[State] = [{}]
        self.brought_back = 0
        create_environment(self._environment, IDENTITY, _MAP)

    def live(self) -> None:
        """One life: a start, some commits, an end, and perhaps damage."""
        condition = prepare_store(self._partition)
        store = PatchStore(self._environment, _MAP, durable=False)
        state = self._shown(store)
        if condition.report is not None and condition.replaced is not None:
            assert condition.report.lost_ids == (), (self._told, condition.report)
            assert condition.report.unknown_records == 0, self._told
        assert state in self._allowed, (self._told, _differences(state, self._allowed))
        self.brought_back += len(self._allowed) > 1 and state == self._allowed[1]
        # Synced at the start; all else may be gone after a power loss.
        synced = {name: (self._environment / name).read_bytes() for name in _NOTES}
        for _ in range(int(self._rng.integers(0, 4))):
            state = self._commit(store, state)
            self._tell("commit")
        self._allowed = [state]
        if self._rng.random() < 0.6:
            self._cut_off(store, state)
        else:
            store.close()
        if self._rng.random() < 0.3:
            self._tell("power")
            for name, content in synced.items():
                (self._environment / name).write_bytes(content)
        self._damage()

    def _damage(self) -> None:
        how = self._rng.choice(
            ["none", "older", "newer", "older and count"], p=[0.3, 0.3, 0.3, 0.1]
        )
        self._tell(str(how))
        if how == "newer":
            _spoil_newer_meta_page(self._environment)
        elif how != "none":
            spoil_older_meta_page(self._environment)
        if how == "older and count":
            (self._environment / "commits").unlink()

    def _cut_off(self, store: PatchStore, state: State) -> None:
        """The pages of one more commit, announced and never made one."""
        self._tell("cut off")
        before = (self._environment / "data.mdb").read_bytes()[: 2 * PAGE]
        count = (self._environment / "commits").read_bytes()
        self._allowed.append(self._commit(store, state))
        store.close()
        with (self._environment / "data.mdb").open("r+b") as file:
            file.write(before)
        (self._environment / "commits").write_bytes(count)

    def _commit(self, store: PatchStore, state: State) -> State:
        self._version += 1
        after = dict(state)
        operations: list[Operation] = []
        for number in self._rng.choice(25, int(self._rng.integers(1, 8)), replace=False).tolist():
            key = f"i{number}"
            if self._rng.random() < 0.2:
                operations.append(DeleteImage(key.encode(), self._version))
                after.pop(key.encode(), None)
            else:
                count = int(self._rng.integers(0, 6))
                operations.append(put_operation(self._rng, key, self._version, count))
                after[key.encode()] = self._version
        store.commit(operations)
        return after

    def _shown(self, store: PatchStore) -> State:
        keys = [f"i{number}".encode() for number in range(25)]
        found = store.read_images(keys, with_patches=True)
        return {
            key: one.image.version for key, one in zip(keys, found, strict=True) if one is not None
        }

    def _tell(self, what: str) -> None:
        self._told.append(f"{self._version}: {what}")


def _spoil_newer_meta_page(environment: Path) -> None:
    data = bytearray((environment / "data.mdb").read_bytes())
    transactions = [int.from_bytes(data[at + 144 : at + 152], "little") for at in (0, PAGE)]
    at = PAGE * transactions.index(max(transactions)) + 16
    data[at : at + PAGE - 16] = bytes(PAGE - 16)
    (environment / "data.mdb").write_bytes(data)


def _differences(state: State, allowed: list[State]) -> list[list[tuple[bytes, int, int]]]:
    return [
        [
            (key, one.get(key, 0), state.get(key, 0))
            for key in sorted({*one, *state})
            if one.get(key) != state.get(key)
        ]
        for one in allowed
    ]


def main() -> None:
    room, back = Path(sys.argv[1]), 0
    for seed in range(int(sys.argv[2]), int(sys.argv[3])):
        partition = room / "p0"
        shutil.rmtree(partition, ignore_errors=True)
        lives = Lives(partition, seed)
        for _ in range(15):
            lives.live()
        back += lives.brought_back
    print(f"{back} commits that were cut off came to pass all the same")


if __name__ == "__main__":
    main()
