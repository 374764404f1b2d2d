"""The codebook: an orthogonal rotation and a trained quantizer, made once and then only read."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from weakref import WeakValueDictionary

import faiss
import numpy as np
from numpy.typing import NDArray

from shard_service.array_files import load_array
from shard_service.derived_files import ManifestError, checked_manifest, write_directory
from shard_service.index.profiles import Profile
from shard_service.index.quantizers import train_quantizer
from shard_service.index.rotation import trained_rotation

MIN_TRAINING_ROWS = 256
"""Fewer rows than centroids cannot train a quantizer."""

ROTATION, QUANTIZER = "rotation.npy", "quantizer.npy"


@dataclass(frozen=True, eq=False)
class Codebook:
    """What the segments of a collection share.

    `rotation` (dims, d + 1) float32: a row's coordinates are `rotation[:, :d] @ row +
    rotation[:, d]`. `quantizer`: float32 numbers as `quantizers.install_quantizer` wants them.
    `kind` names rotation and quantizer: a codebook serves every profile of its kind. `codebook_id`
    is a digest of all of it.
    """

    codebook_id: str
    kind: str
    rotation: NDArray[np.float32]
    quantizer: NDArray[np.float32]

    @cached_property
    def transform(self) -> faiss.LinearTransform:
        """The rotation as FAISS applies it; segments share it."""
        dims, width = self.rotation.shape
        transform = faiss.LinearTransform(width - 1, dims, True)
        faiss.copy_array_to_vector(self.rotation[:, :-1].ravel(), transform.A)
        faiss.copy_array_to_vector(np.ascontiguousarray(self.rotation[:, -1]), transform.b)
        transform.is_trained = True
        transform.is_orthonormal = True
        return transform


def codebook_kind(profile: Profile, dim: int) -> str:
    """Names what `profile` wants of a codebook for vectors of `dim` numbers; "" for nothing."""
    rotation = profile.rotation
    if rotation is None:
        return ""
    kept = min(rotation.dims, dim)
    return f"{rotation.kind}{kept}x{rotation.subspaces}-{profile.quantizer}"


def train_codebook(sample: NDArray[np.float32], profile: Profile) -> Codebook:
    """Trains on (n, d) float32 unit rows, n >= 256.

    Deterministic for one sample and number of threads. Blocks for seconds; releases the GIL. Uses
    the OpenMP threads of the calling thread. Raises ValueError for a profile without a rotation.
    """
    if profile.rotation is None:
        raise ValueError(f"profile {profile.name} needs no codebook")
    dim = sample.shape[1]
    rotation = trained_rotation(sample, profile.rotation)
    rotated = np.ascontiguousarray(sample @ rotation[:, :dim].T + rotation[:, dim])
    quantizer = train_quantizer(rotated, profile.quantizer)
    kind = codebook_kind(profile, dim)
    return Codebook(_digest(kind, rotation, quantizer), kind, rotation, quantizer)


def write_codebook(codebook: Codebook, directory: Path) -> None:
    """Writes the arrays of `codebook` into `directory`."""
    np.save(directory / ROTATION, codebook.rotation)
    np.save(directory / QUANTIZER, codebook.quantizer)


def read_codebook(directory: Path, codebook_id: str, kind: str) -> Codebook:
    """Reads what `write_codebook` wrote; raises ManifestError when it is another one."""
    try:
        rotation = load_array(directory / ROTATION)
        quantizer = load_array(directory / QUANTIZER)
    except (OSError, ValueError) as error:
        raise ManifestError(f"{directory.name}: {error}") from error
    if _digest(kind, rotation, quantizer) != codebook_id:
        raise ManifestError(f"{directory.name}: codebook {codebook_id} has another digest")
    return Codebook(codebook_id, kind, rotation, quantizer)


class SharedCodebooks:
    """Codebooks that are in use, each in memory once. Thread-safe."""

    def __init__(self) -> None:
        self._used: WeakValueDictionary[str, Codebook] = WeakValueDictionary()
        self._lock = threading.Lock()

    def read(self, directory: Path, codebook_id: str, kind: str) -> Codebook:
        """What `read_codebook` gives, or the same codebook read from elsewhere before."""
        with self._lock:
            codebook = self._used.get(codebook_id)
            if codebook is None:
                codebook = read_codebook(directory, codebook_id, kind)
                self._used[codebook_id] = codebook
            return codebook

    def of_kind(self, kind: str) -> Codebook | None:
        """One of `kind` that is in use, so that partitions of a collection share it."""
        with self._lock:
            found = [one for one in self._used.values() if one.kind == kind]
            return min(found, key=lambda one: one.codebook_id, default=None)

    def add(self, codebook: Codebook) -> Codebook:
        """Notes a codebook that was trained or loaded; returns the one to use."""
        with self._lock:
            return self._used.setdefault(codebook.codebook_id, codebook)


def save_codebook(codebook: Codebook, parent: Path) -> None:
    """Writes `codebook` to `parent`/<id>, durably; one that is there already stays."""
    if (parent / codebook.codebook_id).exists():
        return
    facts = {"codebook": codebook.codebook_id, "kind": codebook.kind}
    write_directory(
        parent / codebook.codebook_id, facts, lambda directory: write_codebook(codebook, directory)
    )


def load_codebook(directory: Path) -> Codebook:
    """Reads a codebook; raises ManifestError when it is not what was written."""
    manifest = checked_manifest(directory)
    return read_codebook(directory, directory.name, str(manifest.get("kind", "")))


def _digest(kind: str, rotation: NDArray[np.float32], quantizer: NDArray[np.float32]) -> str:
    content = kind.encode() + rotation.tobytes() + quantizer.tobytes()
    return hashlib.sha256(content).hexdigest()[:32]
