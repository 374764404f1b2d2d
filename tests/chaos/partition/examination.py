"""Looks at everything that an open partition answers and compares it with what may be stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from patchsearch.errors import DataLoss, PatchsearchError
from shard_service.answers import PartitionHit
from shard_service.partition import Partition
from shard_service.search.query import PartitionQuery
from shard_service.store.images import PatchRows, StoredImage
from tests.chaos.partition.facts import CONDITIONS, Condition, facts_of
from tests.chaos.partition.history import ABSENT
from tests.chaos.partition.workload import photo_of
from tests.shard_service.material import FINGERPRINT, units

_ALL = 1000
_SCORE = 1e-3
_OWN_SAMPLE = 12
_CONDITIONS = 2

FAULTS = ("lost", "unfound", "phantom", "duplicate", "torn", "wrong")
"""Kinds of findings that are never right."""

COMPLAINTS = ("reported", "refused")
"""Kinds of findings that are right only where there is damage."""

Patch = tuple[str, tuple[int, int, int, int]]


@dataclass
class Findings:
    """What is wrong, in words, by kind; all empty is right.

    `lost`: an image is missing. `unfound`: an image is there and is not listed, or a search does
    not find all its patches. `phantom`: an image or a version is there that may not be.
    `duplicate`: something is there twice. `torn`: an image's parts do not belong together.
    `wrong`: any other wrong answer. `reported`: images that the partition says are damaged; they
    are absent by right only where damage was done. `refused`: calls that answered an
    error instead of what is whole. `live`: what is stored, image_id -> version.
    """

    lost: list[str] = field(default_factory=list)
    unfound: list[str] = field(default_factory=list)
    phantom: list[str] = field(default_factory=list)
    duplicate: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    reported: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    live: dict[str, int] = field(default_factory=dict)
    activity: str = ""
    sealed_segments: int = 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def examine(
    partition: Partition, allowed: Mapping[str, set[int]], rng: np.random.Generator
) -> Findings:
    """Compares images, lists, counts, exact and indexed searches with `allowed` versions.

    Writes nothing. Contents are known from id and version alone.
    """
    findings = Findings()
    _read_images(partition, allowed, findings)
    _list_images(partition, findings)
    patches = _expected_patches(findings.live)
    vectors = [*units(rng, 2)]
    of_images = [key for key, version in findings.live.items() if len(photo_of(key, version)[1])]
    for key in rng.choice(of_images, min(_OWN_SAMPLE, len(of_images)), replace=False).tolist():
        _find_own(partition, key, findings, rng)
    for exact in (True, False):
        for vector in vectors:
            _search_all(partition, vector, exact, patches, findings)
        for number in rng.choice(len(CONDITIONS), _CONDITIONS, replace=False).tolist():
            condition = CONDITIONS[number]
            _search_all(partition, vectors[0], exact, patches, findings, condition)
    state = partition.describe()
    findings.activity = state.activity
    findings.sealed_segments = state.sealed_segments
    if not findings.reported and (state.images, state.patches) != (
        len(findings.live),
        len(patches),
    ):
        findings.wrong.append(
            f"describe counts {state.images} images and {state.patches} patches, not "
            f"{len(findings.live)} and {len(patches)}"
        )
    return findings


def _read_images(partition: Partition, allowed: Mapping[str, set[int]], findings: Findings) -> None:
    for key in sorted(allowed):
        may_be = allowed[key]
        try:
            found = partition.get_images([key], with_patches=True)
        except DataLoss:
            findings.reported.append(key)
            continue
        if not found:
            if ABSENT not in may_be:
                findings.lost.append(f"{key}: versions {sorted(may_be)}, all gone")
            continue
        version = found[0].image.version
        findings.live[key] = version
        if version not in may_be:
            findings.phantom.append(f"{key}: version {version}, not one of {sorted(may_be)}")
        if fault := _content_fault(found[0], key, version):
            findings.torn.append(f"{key}@{version}: {fault}")


def _content_fault(found: StoredImage, key: str, version: int) -> str:
    image, patches = photo_of(key, version)
    for name in ("image_id", "uri", "width", "height", "metadata", "digest", "selection"):
        if getattr(found.image, name) != getattr(image, name):
            return f"its {name} is another"
    here = found.patches
    if here is None or len(here) != len(patches) or found.patch_count != len(patches):
        return f"{found.patch_count} patches instead of {len(patches)}"
    halved = PatchRows(
        patches.boxes, patches.levels, patches.scores, patches.vectors.astype(np.float16)
    )
    for name in ("boxes", "levels", "scores", "vectors"):
        if not np.array_equal(getattr(here, name), getattr(halved, name)):
            return f"the {name} of its patches are others"
    return ""


def _list_images(partition: Partition, findings: Findings) -> None:
    listed: list[StoredImage] = []
    try:
        while page := partition.list_images(
            listed[-1].image.image_id.decode() if listed else "", "", 100
        ):
            listed += page
    except PatchsearchError as error:
        findings.refused.append(f"list: {error}")
        return
    times = Counter(one.image.image_id.decode() for one in listed)
    findings.duplicate += [f"{key} is listed {n} times" for key, n in times.items() if n > 1]
    for one in listed:
        key, version = one.image.image_id.decode(), one.image.version
        if key not in findings.reported and findings.live.get(key) != version:
            findings.phantom.append(f"{key}@{version} is listed")
    for key in findings.live:
        if key not in times:
            findings.unfound.append(f"{key} is not listed")


def _expected_patches(live: Mapping[str, int]) -> dict[Patch, tuple[int, Any]]:
    expected: dict[Patch, tuple[int, Any]] = {}
    for key, version in live.items():
        rows = photo_of(key, version)[1]
        halved = rows.vectors.astype(np.float16).astype(np.float64)
        for (x, y, w, h), vector in zip(rows.boxes.tolist(), halved, strict=True):
            expected[key, (x, y, w, h)] = (version, vector)
    return expected


def _search_all(
    partition: Partition,
    vector: Any,
    exact: bool,
    patches: Mapping[Patch, tuple[int, Any]],
    findings: Findings,
    condition: Condition | None = None,
) -> None:
    """Asks for more patches than there are: each that meets the condition must come once, in
    order, rightly scored."""
    how = "exact" if exact else "indexed"
    query = PartitionQuery(vector, _ALL, exact=exact, keep_overlapping=True)
    if condition is not None:
        filter, meets = condition
        query = replace(query, filter=filter)
        how += f" ({filter})"
        patches = {
            patch: stored
            for patch, stored in patches.items()
            if meets(patch[0], facts_of(patch[0], stored[0]))
        }
    try:
        hits = partition.search(query, FINGERPRINT).hits
    except PatchsearchError as error:
        findings.refused.append(f"{how} search: {error}")
        return
    seen: Counter[Patch] = Counter()
    last = np.inf
    for hit in hits:
        patch = _patch(hit)
        seen[patch] += 1
        if hit.score > last + 1e-6:
            findings.wrong.append(f"{how} search: {patch} is out of order")
        last = hit.score
        if patch[0] in findings.reported:
            _judge_reported(hit, vector, how, findings)
        elif patch not in patches:
            findings.phantom.append(f"{how} search finds {patch}@{hit.image.version}")
        elif patches[patch][0] != hit.image.version:
            findings.phantom.append(f"{how} search finds {patch} at version {hit.image.version}")
        elif abs(float(patches[patch][1] @ vector) - hit.score) > _SCORE:
            findings.wrong.append(f"{how} search scores {patch} {hit.score}")
    findings.duplicate += [
        f"{how} search finds {patch} {n} times" for patch, n in seen.items() if n > 1
    ]
    # More than k patches: the worst of them may be missing.
    missing = [] if len(hits) == _ALL else [patch for patch in patches if patch not in seen]
    findings.unfound += [f"{how} search does not find {patch}" for patch in missing]


def _judge_reported(hit: PartitionHit, vector: Any, how: str, findings: Findings) -> None:
    """An image that is reported may be found still, but only as what it was."""
    key, box = _patch(hit)
    _, rows = photo_of(key, hit.image.version)
    places = [at for at, one in enumerate(rows.boxes.tolist()) if tuple(one) == box]
    score = float(rows.vectors[places[0]] @ vector) if places else np.nan
    if not abs(score - hit.score) <= _SCORE:
        findings.wrong.append(f"{how} search finds the damaged {key} at {box} with {hit.score}")


def _find_own(partition: Partition, key: str, findings: Findings, rng: np.random.Generator) -> None:
    rows = photo_of(key, findings.live[key])[1]
    at = int(rng.integers(0, len(rows)))
    x, y, w, h = rows.boxes[at].tolist()
    for exact in (True, False):
        query = PartitionQuery(rows.vectors[at], 1, exact=exact)
        try:
            hits = partition.search(query, FINGERPRINT).hits
        except PatchsearchError as error:
            findings.refused.append(f"search for {key}: {error}")
            continue
        if not hits or _patch(hits[0]) != (key, (x, y, w, h)) or abs(hits[0].score - 1) > _SCORE:
            findings.unfound.append(f"a patch of {key} is not what its own vector finds ({exact=})")


def _patch(hit: PartitionHit) -> Patch:
    x, y, w, h = (int(side) for side in hit.box)
    return hit.image.image_id.decode(), (x, y, w, h)
