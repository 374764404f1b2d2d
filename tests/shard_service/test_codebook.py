"""The codebook: a rotation that is one, balanced, and better than none."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shard_service.derived_files import ManifestError
from shard_service.index.codebook import (
    Codebook,
    SharedCodebooks,
    codebook_kind,
    load_codebook,
    read_codebook,
    save_codebook,
    train_codebook,
    write_codebook,
)
from shard_service.index.profiles import PROFILES, Profile, Rotation
from shard_service.index.quantizers import train_quantizer
from shard_service.index.rotation import trained_rotation
from shard_service.index.threads import use_threads

SMALL = Profile("small", "PQ8", rotation=Rotation("opq", 32, 8))
SMALL_KIND = "opq32x8-PQ8"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    use_threads(1)


@pytest.fixture
def uneven(rng: np.random.Generator) -> NDArray[np.float32]:
    """Unit rows whose variance is in few directions, and those not along the axes."""
    spectrum = np.exp(-np.arange(32) / 5.0)
    mixing = np.linalg.qr(rng.standard_normal((32, 32)))[0]
    rows = (0.3 + rng.standard_normal((2000, 32)) * spectrum) @ mixing
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def rotated(rows: NDArray[np.float32], rotation: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows @ rotation[:, :-1].T + rotation[:, -1]


@pytest.mark.parametrize(
    "rotation",
    [
        Rotation("pca", 32),
        Rotation("pca", 12),
        Rotation("opq", 32, 8),
        Rotation("opq", 16, 8),
        Rotation("opq-iterative", 32, 8),
    ],
    ids=str,
)
def test_a_rotation_keeps_angles_and_centres(
    uneven: NDArray[np.float32], rotation: Rotation
) -> None:
    uneven = uneven[:600]
    trained = trained_rotation(uneven, rotation)
    directions = trained[:, :-1]
    assert trained.dtype == np.float32 and directions.shape == (rotation.dims, 32)
    np.testing.assert_allclose(directions @ directions.T, np.eye(rotation.dims), atol=1e-5)
    np.testing.assert_allclose(rotated(uneven, trained).mean(axis=0), 0, atol=1e-5)


@pytest.mark.parametrize("rotation", [Rotation("pca", 12), Rotation("opq", 12, 4)], ids=str)
def test_the_directions_of_most_variance_are_kept(
    uneven: NDArray[np.float32], rotation: Rotation
) -> None:
    kept = rotated(uneven, trained_rotation(uneven, rotation)).var(axis=0).sum()
    most = np.sort(np.linalg.eigvalsh(np.cov(uneven.T.astype(np.float64))))[::-1][:12].sum()
    assert kept == pytest.approx(most, rel=1e-3)


def test_every_subspace_has_an_equal_product_of_variances(uneven: NDArray[np.float32]) -> None:
    coordinates = rotated(uneven, trained_rotation(uneven, Rotation("opq", 32, 8)))
    variances = coordinates.var(axis=0).reshape(8, 4)
    products = np.log(variances).sum(axis=1)
    plain = np.sort(np.log(variances.ravel()))[::-1].reshape(8, 4).sum(axis=1)
    assert np.ptp(products) < 0.25 * np.ptp(plain)


def test_directions_without_variance_do_no_harm(rng: np.random.Generator) -> None:
    flat = np.zeros((300, 32), np.float32)
    flat[:, :3] = rng.standard_normal((300, 3))
    directions = trained_rotation(flat, Rotation("opq", 32, 8))[:, :-1]
    np.testing.assert_allclose(directions @ directions.T, np.eye(32), atol=1e-5)


def test_fewer_directions_than_subspaces_are_filled_up_with_nothing(
    uneven: NDArray[np.float32],
) -> None:
    for subspaces, rows in ((64, 64), (24, 48)):
        trained = trained_rotation(uneven, Rotation("opq", 256, subspaces))
        assert trained.shape == (rows, 33)
        empty = ~trained.any(axis=1)
        directions = trained[~empty, :-1]
        assert int(empty.sum()) == rows - 32
        np.testing.assert_allclose(directions @ directions.T, np.eye(32), atol=1e-5)
        profile = Profile("wide", f"PQ{subspaces}x4fs", rotation=Rotation("opq", 256, subspaces))
        assert train_codebook(uneven, profile).quantizer.size == 16 * rows


def test_rotated_codes_lose_less_than_plain_ones(uneven: NDArray[np.float32]) -> None:
    def loss(rows: NDArray[np.float32], centroids: NDArray[np.float32]) -> float:
        codes = centroids.reshape(1, 8, 256, 4)
        distances = ((rows.reshape(len(rows), 8, 1, 4) - codes) ** 2).sum(axis=3)
        return float(distances.min(axis=2).sum())

    codebook = train_codebook(uneven, SMALL)
    assert loss(rotated(uneven, codebook.rotation), codebook.quantizer) < 0.8 * loss(
        uneven, train_quantizer(uneven, "PQ8")
    )


def test_the_transform_is_what_the_arrays_say(uneven: NDArray[np.float32]) -> None:
    codebook = train_codebook(uneven, SMALL)
    np.testing.assert_allclose(
        codebook.transform.apply(uneven), rotated(uneven, codebook.rotation), atol=1e-6
    )


def test_training_is_deterministic_and_the_id_tells_content_and_kind(
    uneven: NDArray[np.float32],
) -> None:
    first = train_codebook(uneven, SMALL)
    assert train_codebook(uneven.copy(), SMALL).codebook_id == first.codebook_id
    others = [
        train_codebook(uneven[1:], SMALL),
        train_codebook(uneven, replace(SMALL, factory="PQ4")),
        train_codebook(uneven, replace(SMALL, factory="SQ8")),
        train_codebook(uneven, replace(SMALL, rotation=Rotation("pca", 32))),
        train_codebook(uneven, replace(SMALL, rotation=Rotation("opq", 16, 8))),
    ]
    assert len({first.codebook_id, *(one.codebook_id for one in others)}) == 6
    assert len({first.kind, *(one.kind for one in others[1:])}) == 5
    assert others[0].kind == first.kind


def test_profiles_of_one_rotation_and_quantizer_share_a_kind() -> None:
    kinds = {name: codebook_kind(profile, 512) for name, profile in PROFILES.items()}
    assert kinds["opq64"] == kinds["graph-opq64"] == "opq512x64-PQ64"
    assert kinds["exact"] == kinds["hnsw"] == ""
    assert len(set(kinds.values())) == len(kinds) - 2
    assert codebook_kind(PROFILES["opq64"], 128) != kinds["opq64"]


def test_a_profile_without_a_rotation_has_no_codebook(uneven: NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match="hnsw needs no codebook"):
        train_codebook(uneven, PROFILES["hnsw"])


@pytest.mark.parametrize("name", ["rotation.npy", "quantizer.npy", "manifest.json"])
def test_a_codebook_is_read_back_or_refused(
    tmp_path: Path, uneven: NDArray[np.float32], name: str
) -> None:
    codebook = train_codebook(uneven[:300], SMALL)
    save_codebook(codebook, tmp_path)
    save_codebook(codebook, tmp_path)
    back: Codebook = load_codebook(tmp_path / codebook.codebook_id)
    np.testing.assert_array_equal(back.quantizer, codebook.quantizer)
    np.testing.assert_array_equal(back.rotation, codebook.rotation)
    assert (back.codebook_id, back.kind) == (codebook.codebook_id, codebook.kind)
    path = tmp_path / codebook.codebook_id / name
    damaged = bytearray(path.read_bytes())
    damaged[-9] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ManifestError):
        load_codebook(tmp_path / codebook.codebook_id)


def test_files_of_another_codebook_are_refused(tmp_path: Path, uneven: NDArray[np.float32]) -> None:
    mine, other = train_codebook(uneven, SMALL), train_codebook(uneven[1:], SMALL)
    write_codebook(other, tmp_path)
    assert read_codebook(tmp_path, other.codebook_id, other.kind).kind == SMALL_KIND
    for codebook_id, kind in ((mine.codebook_id, mine.kind), (other.codebook_id, "opq")):
        with pytest.raises(ManifestError, match="another digest"):
            read_codebook(tmp_path, codebook_id, kind)
    (tmp_path / "quantizer.npy").unlink()
    with pytest.raises(ManifestError, match=r"quantizer\.npy"):
        read_codebook(tmp_path, other.codebook_id, other.kind)


def test_shared_codebooks_are_in_memory_once_and_only_while_used(
    tmp_path: Path, uneven: NDArray[np.float32]
) -> None:
    trained = train_codebook(uneven, SMALL)
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        write_codebook(trained, tmp_path / place)
    shared = SharedCodebooks()
    assert shared.of_kind(SMALL_KIND) is None
    first = shared.read(tmp_path / "a", trained.codebook_id, trained.kind)
    assert shared.read(tmp_path / "b", trained.codebook_id, trained.kind) is first
    # The one that is in use, whoever trained it again.
    assert shared.add(trained) is first
    assert shared.of_kind(SMALL_KIND) is first
    assert shared.of_kind("pca32x1-SQ8") is None
    del first
    assert shared.of_kind(SMALL_KIND) is None
    assert shared.add(trained) is trained


def test_threads_that_read_one_codebook_get_one_object(
    tmp_path: Path, uneven: NDArray[np.float32]
) -> None:
    trained = train_codebook(uneven, SMALL)
    write_codebook(trained, tmp_path)
    shared = SharedCodebooks()
    got: list[Codebook] = []
    threads = [
        threading.Thread(
            target=lambda: got.append(shared.read(tmp_path, trained.codebook_id, trained.kind))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8 and len(set(map(id, got))) == 1
