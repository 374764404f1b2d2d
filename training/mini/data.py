"""Generating the training set: scenes to chunks of patches, one process per worker, resumable."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import numpy as np
from tqdm import tqdm

from evaluation.scenes import TRAINING_STYLES, generate_scene
from training.mini.patches import sample, write_chunk

FIRST_SEED = 500_000_000
"""Training scenes have seeds from here on; demo and tests use seeds from 0."""

SCENES_PER_CHUNK = 32


def build_chunk(job: tuple[Path, int]) -> int:
    """Generate and store the chunk with this number; returns its number."""
    folder, number = job
    first = FIRST_SEED + number * SCENES_PER_CHUNK
    name = f"chunk-{first}"
    if (folder / f"{name}.npy").exists():
        return number
    patches = []
    for seed in range(first, first + SCENES_PER_CHUNK):
        rng = np.random.default_rng(seed)
        scene = generate_scene(seed, int(rng.choice(np.array(TRAINING_STYLES))))
        patches += [(scene, patch) for patch in sample(scene, rng)]
    write_chunk(folder, name, patches)
    return number


def build(folder: Path, scenes: int, workers: int) -> None:
    """Make the chunks of at least `scenes` scenes; those already there are kept."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    jobs = [(folder, n) for n in range(-(-scenes // SCENES_PER_CHUNK))]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for _ in tqdm(pool.imap(build_chunk, jobs), total=len(jobs), unit="chunk"):
            pass
