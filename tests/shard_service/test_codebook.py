"""The codebook: a rotation that is one, balanced, and better than none."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest

from shard_service.derived_files import ManifestError
from shard_service.index.codebook import (
    Codebook,
    balanced_rotation,
    load_codebook,
    save_codebook,
    train_codebook,
)
from shard_service.index.faiss_index import use_threads
from shard_service.index.profiles import PROFILES


@pytest.fixture(autouse=True)
def one_thread() -> None:
    use_threads(1)


@pytest.fixture
def uneven(rng: np.random.Generator) -> np.ndarray:
    """Unit rows whose variance is in few directions, and those not along the axes."""
    spectrum = np.exp(-np.arange(32) / 5.0)
    mixing = np.linalg.qr(rng.standard_normal((32, 32)))[0]
    rows = ((rng.standard_normal((2000, 32)) * spectrum) @ mixing).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_rotation_is_orthogonal_and_balances_the_variance(uneven: np.ndarray) -> None:
    rotation = balanced_rotation(uneven, 8)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(32), atol=1e-5)
    variances = (uneven @ rotation.T).var(axis=0).reshape(8, 4)
    products = np.log(variances).sum(axis=1)
    plain = np.sort(np.log(variances.ravel()))[::-1].reshape(8, 4).sum(axis=1)
    assert np.ptp(products) < 0.25 * np.ptp(plain)


def test_directions_without_variance_do_no_harm(rng: np.random.Generator) -> None:
    flat = np.zeros((300, 32), np.float32)
    flat[:, :3] = rng.standard_normal((300, 3))
    rotation = balanced_rotation(flat, 8)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(32), atol=1e-5)


def test_rotated_codes_lose_less_than_plain_ones(uneven: np.ndarray) -> None:
    codebook = train_codebook(uneven, 8)
    plain = faiss.ProductQuantizer(32, 8, 8)
    plain.cp.min_points_per_centroid = 1
    plain.train(uneven)
    plain_loss = ((plain.decode(plain.compute_codes(uneven)) - uneven) ** 2).sum()
    rotated = (uneven @ codebook.rotation.T).reshape(len(uneven), 8, 4)
    distances = ((rotated[:, :, None] - codebook.centroids[None]) ** 2).sum(axis=3)
    assert distances.min(axis=2).sum() < 0.8 * plain_loss


def test_a_codebook_is_read_back_or_refused(tmp_path: Path, uneven: np.ndarray) -> None:
    codebook = train_codebook(uneven[:300], 8)
    save_codebook(codebook, tmp_path)
    save_codebook(codebook, tmp_path)
    back: Codebook = load_codebook(tmp_path / codebook.codebook_id)
    np.testing.assert_array_equal(back.centroids, codebook.centroids)
    np.testing.assert_array_equal(back.rotation, codebook.rotation)
    path = tmp_path / codebook.codebook_id / "rotation.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(ManifestError, match=r"rotation\.npy"):
        load_codebook(tmp_path / codebook.codebook_id)


def test_a_profile_is_the_index_that_its_factory_string_names() -> None:
    graph, codes = PROFILES["graph"], PROFILES["opq64"]
    index = faiss.index_factory(512, graph.factory)
    chain = faiss.downcast_VectorTransform(index.chain.at(0))
    coded = faiss.downcast_index(index.index)
    storage = faiss.downcast_index(coded.storage)
    assert isinstance(chain, faiss.OPQMatrix) and isinstance(coded, faiss.IndexHNSWPQ)
    assert (storage.pq.M, coded.hnsw.nb_neighbors(1)) == (graph.code_bytes, graph.links)
    index = faiss.index_factory(512, codes.factory)
    assert faiss.downcast_index(index.index).pq.M == codes.code_bytes
