"""From the name of a model to where its architecture and weights are."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from patchsearch.errors import FailedPrecondition, InvalidArgument

BUNDLED_DIR = Path(__file__).parent / "bundled"
"""Models that come with the program, one directory each."""

CONFIG_FILE = "open_clip_config.json"
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")

_LOCAL_DIR_PREFIX = "local-dir:"
_FORMS = (
    "a model is named as a bundled one, a directory in open_clip's format (open_clip_config.json "
    "and weights), ARCHITECTURE:/path/to/checkpoint, or ARCHITECTURE:TAG for weights from the "
    "model hub, such as ViT-B-16:openai"
)


@dataclass(frozen=True, slots=True)
class DirectorySource:
    """A directory in open_clip's format, with a configuration and weights."""

    path: Path


@dataclass(frozen=True, slots=True)
class FileSource:
    """An architecture that open_clip knows, with weights in a file."""

    architecture: str
    path: Path


@dataclass(frozen=True, slots=True)
class HubSource:
    """An architecture that open_clip knows, with weights that it fetches from the model hub."""

    architecture: str
    tag: str


ModelSource: TypeAlias = DirectorySource | FileSource | HubSource


def bundled_models(directory: Path = BUNDLED_DIR) -> tuple[str, ...]:
    """Names of the models that come with the program."""
    return tuple(sorted(config.parent.name for config in directory.glob(f"*/{CONFIG_FILE}")))


def find_model(name: str, bundled: Path = BUNDLED_DIR) -> ModelSource:
    """Where the model of this name is; reads no weights and asks no network.

    Raises `InvalidArgument` (ENCODER_UNKNOWN) for a name that means nothing, and
    `FailedPrecondition` (ENCODER_WEIGHTS_MISSING) for a directory or file that is not there or not
    complete.
    """
    path = Path(name.removeprefix(_LOCAL_DIR_PREFIX)).expanduser()
    if name in bundled_models(bundled):
        return _complete(DirectorySource(bundled / name))
    if name.startswith(_LOCAL_DIR_PREFIX) or path.is_dir():
        return _complete(DirectorySource(path))
    architecture, colon, weights = name.partition(":")
    if not colon or not weights:
        raise _unknown(f"unknown model {name!r}{_like(name, bundled)}", bundled)
    return _of_architecture(architecture, weights, bundled)


def _of_architecture(architecture: str, weights: str, bundled: Path) -> ModelSource:
    import open_clip

    known = open_clip.list_models()
    if architecture not in known:
        near = difflib.get_close_matches(architecture, known, n=3)
        hint = f"; near it are {', '.join(near)}" if near else ""
        raise _unknown(f"unknown architecture {architecture!r}{hint}", bundled)
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    path = Path(weights).expanduser()
    if path.is_file():
        return FileSource(architecture, path)
    if weights in tags:
        return HubSource(architecture, weights)
    if os.sep in weights or path.suffix in WEIGHT_SUFFIXES:
        raise _missing(f"there is no checkpoint file {path}")
    raise _unknown(
        f"{weights!r} is neither a file nor one of the weights of {architecture}: "
        f"{', '.join(tags) or 'none'}",
        bundled,
    )


def _complete(source: DirectorySource) -> DirectorySource:
    if not (source.path / CONFIG_FILE).is_file():
        raise _missing(f"{source.path} holds no {CONFIG_FILE}")
    if not any(file.suffix in WEIGHT_SUFFIXES for file in source.path.iterdir()):
        raise _missing(f"{source.path} holds no weights ({', '.join(WEIGHT_SUFFIXES)})")
    return source


def _like(name: str, bundled: Path) -> str:
    near = difflib.get_close_matches(name, bundled_models(bundled), n=1)
    if near:
        return f", is {near[0]!r} meant?"
    import open_clip

    architecture = name in open_clip.list_models()
    return f": {name} is an architecture, say which weights it gets" if architecture else ""


def _unknown(what: str, bundled: Path) -> InvalidArgument:
    names = ", ".join(bundled_models(bundled)) or "none"
    return InvalidArgument("ENCODER_UNKNOWN", f"{what}; bundled models: {names}; {_FORMS}")


def _missing(what: str) -> FailedPrecondition:
    return FailedPrecondition("ENCODER_WEIGHTS_MISSING", f"{what}; {_FORMS}")
