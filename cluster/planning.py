"""Plans of the commands: pure functions of a survey."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cluster import balance
from cluster.leftovers import told_leftovers
from cluster.plan import DEFAULT_RATE_MB_S, MemberChange, Plan, SplitChange, changed_totals
from cluster.repair_change import repair_changes
from cluster.splitting import check_settled, half_ids
from cluster.survey import Survey
from patchsearch.errors import FailedPrecondition, InvalidArgument, Unavailable
from placement.changes import known_address, known_partition
from placement.document import Partition


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes plans for the placement and the shards that a survey found.

    Each method raises NotFound SHARD_UNKNOWN or PARTITION_UNKNOWN for names that the placement does
    not have, and Unavailable SHARD_UNREACHABLE when a shard that the plan needs did not answer. A
    plan of what is done already is empty.
    """

    survey: Survey
    rate_mb_s: float = DEFAULT_RATE_MB_S

    def add_shard(self, name: str, address: str) -> Plan:
        """A shard more, and the partitions that move to it: the fewest bytes that share the load.

        Copies to it that a killed command began are gone on with. Raises FailedPrecondition
        SHARD_EXISTS when the placement has it with another address, or another one with its.
        """
        placement = self.survey.placement
        known = placement.shards.get(name)
        others = [other for other, at in placement.shards.items() if at == address]
        if known not in (None, address) or (others and others != [name]):
            taken = f"{name} at {known}" if known not in (None, address) else others[0]
            raise FailedPrecondition(
                "SHARD_EXISTS",
                f"the placement has {taken}; give another name, or the address of a new shard",
                metadata={"shard": name},
            )
        self._need([name])
        shards = sorted({*placement.shards, name})
        begun = self._settled([p for p in placement.partitions if _joins(p, name)], shards)
        holders = {**self._holders(), **begun}
        targets = {**begun, **balance.filled(holders, name, shards, self._weights())}
        notes = []
        if not targets and not any(name in on for on in holders.values()):
            notes.append(
                f"no partition moves to {name}: none is small enough to level the shards; split "
                "some with `patchsearch cluster split`, then `patchsearch cluster rebalance`"
            )
        return self._plan(
            "add-shard", targets, shards, notes, new_shard=None if known else (name, address)
        )

    def remove_shard(self, name: str, *, lost: bool = False) -> Plan:
        """A shard fewer: what it holds goes to the others first.

        `lost`: it is gone for good and is not asked; what it held is copied from other replicas.
        Raises FailedPrecondition NOT_ENOUGH_SHARDS, and LAST_REPLICA when it was lost with the only
        replica of a partition.
        """
        placement = self.survey.placement
        if name not in placement.shards:
            return self._plan("remove-shard", {}, sorted(placement.shards), [])
        if not lost:
            self._need([name])
        rest = [shard for shard in sorted(placement.shards) if shard != name]
        usable = [shard for shard in rest if self.survey.alive(shard)]
        if not rest:
            raise FailedPrecondition(
                "NOT_ENOUGH_SHARDS", f"{name} is the only shard; add another one first"
            )
        begun = self._settled(
            [p for p in placement.partitions if p.joining and not _joins(p, name) and _on(p, name)],
            rest,
            leaving=name,
        )
        holders = {**self._holders(), **begun}
        targets = {**begun, **balance.emptied(holders, name, usable, self._weights())}
        for partition in placement.partitions:
            if _joins(partition, name):
                targets.setdefault(partition.id, holders[partition.id])
            if lost and _on(partition, name) and self.survey.source(partition, name) is None:
                raise FailedPrecondition(
                    "LAST_REPLICA",
                    f"{name} had the only replica of {partition.id} that could be read: restore "
                    "that from a backup, or bring the shard back",
                    metadata={"partition_id": partition.id},
                )
        shards = sorted(placement.shards)
        return self._plan("remove-shard", targets, shards, [], removed_shard=name, lost=lost)

    def move(self, partition_id: str, source: str, target: str) -> Plan:
        """One replica from a shard to another one.

        Raises InvalidArgument MOVE_INVALID when the one does not hold it or the other one does.
        """
        placement = self.survey.placement
        partition = known_partition(placement, partition_id)
        for shard in (source, target):
            known_address(placement, shard)
        on = [replica.shard for replica in partition.replicas]
        if source not in on and target in on:
            return self._plan("move", {}, sorted(placement.shards), [])
        if source not in on or target in on or source == target:
            raise InvalidArgument(
                "MOVE_INVALID",
                f"partition {partition_id} is on {', '.join(on)}; it can move from one of those to "
                "a shard that does not hold it",
                metadata={"partition_id": partition_id},
            )
        self._need([source, target])
        targets = {partition_id: balance.replaced(on, source, target)}
        return self._plan("move", targets, sorted(placement.shards), [])

    def rebalance(self) -> Plan:
        """Partitions from full shards to empty ones, until they are level."""
        placement = self.survey.placement
        shards = sorted(placement.shards)
        self._need(shards)
        begun = self._settled([p for p in placement.partitions if p.joining], shards)
        holders = {**self._holders(), **begun}
        targets = {**begun, **balance.levelled(holders, shards, self._weights())}
        return self._plan("rebalance", targets, shards, [])

    def set_replicas(self, count: int, partition_ids: Collection[str] = ()) -> Plan:
        """`count` replicas of each partition, or of those named; from the fullest shards fewer,
        on the emptiest more.

        Shards that do not answer get none and lose theirs first. Raises InvalidArgument
        REPLICAS_OUT_OF_RANGE, FailedPrecondition NOT_ENOUGH_SHARDS.
        """
        placement = self.survey.placement
        if count < 1:
            raise InvalidArgument(
                "REPLICAS_OUT_OF_RANGE", f"{count} replicas; a partition has at least one"
            )
        chosen = self._chosen(partition_ids)
        shards = sorted(placement.shards)
        away = [shard for shard in shards if not self.survey.alive(shard)]
        # Where a copy is being made already one is on its way.
        holders = {
            p.id: [r.shard for r in (p.written if len(p.replicas) < count else p.replicas)]
            for p in placement.partitions
        }
        targets = balance.counted(
            {p.id: holders[p.id] for p in chosen}, count, shards, self._weights(), away
        )
        for partition in chosen:
            if partition.joining:
                targets.setdefault(partition.id, tuple(holders[partition.id]))
        return self._plan("set-replicas", targets, shards, [])

    def split(self, partition_ids: Collection[str] = (), larger_than: int | None = None) -> Plan:
        """Halves of partitions: of those named, else of those with more patches than
        `larger_than`.

        Raises FailedPrecondition PARTITION_BUSY, PARTITION_TOO_NARROW.
        """
        chosen = self._chosen(partition_ids)
        if larger_than is not None:
            patches = self._patches()
            chosen = [p for p in chosen if patches[p.id] > larger_than]
        changes = []
        for partition in chosen:
            check_settled(partition)
            shards = tuple(replica.shard for replica in partition.replicas)
            self._need(shards)
            held = self.survey.largest(partition)
            if held is None:
                raise FailedPrecondition(
                    "LAST_REPLICA", f"{', '.join(shards)} do not hold partition {partition.id}"
                )
            lower, upper = half_ids(self.survey.placement, partition)
            changes.append(
                SplitChange(
                    partition.id, lower, upper, shards, held.images, held.patches, held.disk_bytes
                )
            )
        return self._plan("split", {}, [], [], splits=tuple(changes))

    def repair(self, partition_ids: Collection[str] = (), *, abandon: bool = False) -> Plan:
        """What is to be repaired, of all partitions or of those named; with `abandon` what killed
        commands were filling is taken back."""
        repairs = repair_changes(self.survey, self._chosen(partition_ids))
        if not abandon:
            repairs = tuple(r for r in repairs if r.missing or r.differing or r.away)
        return self._plan("repair", {}, [], [], repairs=repairs, abandon=abandon)

    def _plan(
        self,
        command: str,
        targets: Mapping[str, Sequence[str]],
        shards: Sequence[str],
        notes: Iterable[str],
        **more: object,
    ) -> Plan:
        placement = self.survey.placement
        changes = []
        for partition in placement.partitions:
            if partition.id not in targets:
                continue
            on = tuple(replica.shard for replica in partition.replicas)
            joining = tuple(replica.shard for replica in partition.joining)
            target = tuple(targets[partition.id])
            if target == on and not joining:
                continue
            held = self.survey.largest(partition)
            changes.append(
                MemberChange(
                    partition.id,
                    on,
                    joining,
                    target,
                    bytes=held.disk_bytes if held else 0,
                    patches=held.patches if held else 0,
                    source=self.survey.source(partition) or "",
                    away=tuple(s for s in on if s not in target and not self.survey.alive(s)),
                )
            )
        before = {p.id: [r.shard for r in p.replicas] for p in placement.partitions}
        after = {change.partition_id: change.target for change in changes}
        return Plan(
            command,
            placement.epoch,
            members=tuple(changes),
            leftovers=tuple(told_leftovers(self.survey)),
            totals=changed_totals(before, self._patches(), shards, after),
            notes=tuple(notes),
            rate_mb_s=self.rate_mb_s,
            **more,  # type: ignore[arg-type]
        )

    def _settled(
        self, partitions: Iterable[Partition], shards: Collection[str], leaving: str = ""
    ) -> balance.Holders:
        """Where partitions end up that a killed command was copying: what is being filled takes the
        place of `leaving`, else of the fullest replica."""
        loads = balance.Loads(shards, {}, self._weights())
        for partition in self.survey.placement.partitions:
            for replica in partition.replicas:
                if replica.shard in shards:
                    loads.add(replica.shard, partition.id)
        settled: balance.Holders = {}
        for partition in partitions:
            on = tuple(replica.shard for replica in partition.replicas)
            for replica in partition.joining:
                old = leaving if leaving in on else max(on, key=lambda shard: loads[shard])
                on = balance.replaced(on, old, replica.shard)
                if old in shards:
                    loads.take(old, partition.id)
                loads.add(replica.shard, partition.id)
            settled[partition.id] = on
        return settled

    def _holders(self) -> balance.Holders:
        return {
            p.id: tuple(replica.shard for replica in p.replicas)
            for p in self.survey.placement.partitions
        }

    def _patches(self) -> dict[str, int]:
        found = {p.id: self.survey.largest(p) for p in self.survey.placement.partitions}
        return {name: held.patches if held else 0 for name, held in found.items()}

    def _weights(self) -> balance.Weights:
        # An empty partition counts a little: it will not stay empty.
        return {name: patches + 1 for name, patches in self._patches().items()}

    def _chosen(self, partition_ids: Collection[str]) -> list[Partition]:
        placement = self.survey.placement
        if not partition_ids:
            return list(placement.partitions)
        return [known_partition(placement, one) for one in dict.fromkeys(partition_ids)]

    def _need(self, shards: Iterable[str]) -> None:
        for shard in shards:
            found = self.survey.shards.get(shard)
            if found is not None and found.error is not None:
                raise Unavailable(
                    "SHARD_UNREACHABLE",
                    f"{shard} at {found.address} does not answer, and it is needed: start it "
                    f"({found.error.message})",
                    metadata={"shard": shard},
                )


def _joins(partition: Partition, shard: str) -> bool:
    return any(replica.shard == shard for replica in partition.joining)


def _on(partition: Partition, shard: str) -> bool:
    return any(replica.shard == shard for replica in partition.replicas)
