"""Directories of derived data: written beside their place, summed, synced, then moved in whole.

Such a directory holds files and a `manifest.json` with the sha256 of each. It appears by one
rename, so it is there complete or not at all, and nothing in it changes afterwards.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
_UNFINISHED = ".unfinished-"
_ASIDE = ".failed-"
_FORMAT = 2


class ManifestError(Exception):
    """A derived directory does not hold what its manifest says; the message tells what differs."""


def write_directory(target: Path, facts: Mapping[str, Any], fill: Callable[[Path], None]) -> None:
    """Lets `fill` write files into a new directory that then becomes `target`, durably.

    `facts` go into the manifest. On any exception nothing is left behind. `target` must not exist.
    """
    temporary = target.parent / f"{_UNFINISHED}{uuid.uuid4().hex}"
    temporary.mkdir(parents=True)
    try:
        fill(temporary)
        sums = {}
        for path in sorted(temporary.iterdir()):
            sums[path.name] = {"sha256": _sha256(path), "bytes": path.stat().st_size}
            sync_path(path)
        manifest = {"format": _FORMAT, **facts, "files": sums}
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        sync_path(temporary / MANIFEST)
        sync_path(temporary)
        sys.audit("patchsearch.shard", "before-rename", str(target))
        temporary.rename(target)
        sys.audit("patchsearch.shard", "after-rename", str(target))
        sync_path(target.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def checked_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of `directory`, after every file was compared with it.

    Reads all the bytes. Raises ManifestError when anything is missing or differs.
    """
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != _FORMAT:
            raise ManifestError(f"{directory.name}: format {manifest['format']} is unknown")
        for name, expected in manifest["files"].items():
            path = directory / Path(name).name
            if path.stat().st_size != expected["bytes"] or _sha256(path) != expected["sha256"]:
                raise ManifestError(f"{directory.name}/{name} fails its checksum")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ManifestError(f"{directory.name}: {error}") from error
    if not isinstance(manifest, dict):
        raise ManifestError(f"{directory.name}: the manifest is no object")
    return manifest


def move_aside(directory: Path) -> Path:
    """Renames a directory that failed its check, for people to look at; only the last is kept."""
    aside = directory.parent / f"{_ASIDE}{directory.name}"
    shutil.rmtree(aside, ignore_errors=True)
    directory.rename(aside)
    return aside


def remove_directory(directory: Path) -> None:
    """Removes a derived directory. Whoever is killed meanwhile leaves what `finished` removes, not
    a directory that fails its check."""
    gone = directory.parent / f"{_UNFINISHED}{uuid.uuid4().hex}"
    directory.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def finished(parent: Path) -> list[Path]:
    """The derived directories below `parent`, by name; makes `parent` where it is missing.

    Removes what an interrupted `write_directory` left.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for leftover in parent.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    return [parent / name for name in finished_names(parent)]


def finished_names(parent: Path) -> list[str]:
    """Names of the derived directories below `parent`, sorted; unfinished ones stay."""
    return sorted(path.name for path in parent.iterdir() if not path.name.startswith("."))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_path(path: Path) -> None:
    """Makes the bytes of a file, or the names in a directory, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
