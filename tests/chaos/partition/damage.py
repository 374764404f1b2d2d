"""Ways to damage a file, drawn at random, and the files of a data directory by kind."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_PAGE = 4096


@dataclass(frozen=True)
class Damage:
    """What was done, in words that repeat it: `way` to `file`, a path below the data directory."""

    way: str
    file: str
    details: str


def files_by_kind(data: Path) -> dict[str, list[Path]]:
    """All files below `data`, relative, by kind: files of segments go together by name."""
    kinds: dict[str, list[Path]] = {}
    for path in sorted(data.rglob("*")):
        if path.is_file():
            relative = path.relative_to(data)
            # partitions/p0/<room>/<directory>/<name>, or the store's own.
            room = relative.parts[2] if len(relative.parts) > 3 else "."
            kinds.setdefault(f"{room}/{path.name}", []).append(relative)
    return kinds


def damage_one(data: Path, kind: str, chance: random.Random) -> Damage:
    """Damages one file of `kind` in a way that changes it."""
    files = files_by_kind(data)[kind]
    relative = chance.choice(files)
    content = (data / relative).read_bytes()
    others = [other for other in files if (data / other).read_bytes() != content]
    ways: list[str] = [*_WAYS]
    if others:
        ways.append("stale manifest" if kind.endswith("/manifest.json") else "swapped")
    way = chance.choice(ways)
    path = data / relative
    if way in _WAYS:
        details = _WAYS[way](path, chance)
        if path.read_bytes() == content:
            # An empty file, or a tail of zeros already: something that does change it.
            way, details = "flipped 1", _flip(path, chance, 1)
    else:
        other = chance.choice(others)
        details = str(other)
        if way == "swapped":
            path.write_bytes((data / other).read_bytes())
            (data / other).write_bytes(content)
        else:
            shutil.copyfile(data / other, path)
    return Damage(way, str(relative), details)


def _flip(path: Path, chance: random.Random, count: int) -> str:
    content = bytearray(path.read_bytes())
    places = [chance.randrange(len(content)) for _ in range(count)] if content else []
    for place in places:
        content[place] ^= chance.randrange(1, 256)
    path.write_bytes(content or b"\x01")
    return f"at {places}"


def _truncate(path: Path, chance: random.Random) -> str:
    size = path.stat().st_size
    keep = chance.randrange(max(1, size))
    if chance.random() < 0.5:
        keep -= keep % _PAGE
    with path.open("r+b") as file:
        file.truncate(keep)
    return f"to {keep} of {size}"


def _zero_tail(path: Path, chance: random.Random) -> str:
    content = path.read_bytes()
    keep = chance.randrange(max(1, len(content)))
    path.write_bytes(content[:keep] + bytes(len(content) - keep))
    return f"from {keep} of {len(content)}"


_WAYS: Mapping[str, Callable[[Path, random.Random], str]] = {
    "flipped 1": lambda path, chance: _flip(path, chance, 1),
    "flipped 8": lambda path, chance: _flip(path, chance, 8),
    "truncated": _truncate,
    "zeroed tail": _zero_tail,
}
