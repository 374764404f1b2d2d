"""What choosing patches costs: `python -m benchmarks.selection`.

Scores all windows of the hierarchical selector (896, 448 and 224 pixels) on a saliency map of
3848 x 2168, with one integral image and by summing every window by itself (a numpy slice and mean
for each), and times the selectors on whole photos. Prints a table, then one line of JSON. Times
are medians over the rounds, with the fastest and the slowest; nothing is asserted about them, but
the run fails if the two ways of scoring differ.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from patch_selection import (
    DEFAULT_SELECTOR,
    SELECTORS,
    Saliency,
    choose_windows,
    grid_windows,
    load_saliency,
    score_windows,
    select_patches,
)
from patch_selection.saliency import SALIENCY_MODELS, RgbImage, SaliencyMap
from patch_selection.windows import WindowArray

WIDTH, HEIGHT = 3848, 2168
GRIDS = ((896, 224), (448, 112), (224, 56))
PHOTO_SIZES = ((1920, 1080), (3848, 2168))


def naive_scores(pixels: npt.NDArray[np.uint8], windows: WindowArray) -> list[tuple[float, float]]:
    """S_apv and S_id with a slice and a mean for every window."""
    scores = []
    for x, y, side in windows.tolist():
        window = pixels[y : y + side, x : x + side]
        margin = side // 10
        inside = window[margin : side - margin, margin : side - margin]
        rim_area = window.size - inside.size
        average = float(window.mean())
        inner = float(inside.mean())
        outer = (average * window.size - inner * inside.size) / rim_area
        scores.append((average / 255, (inner - outer) / 255))
    return scores


def street_like(width: int, height: int) -> npt.NDArray[np.uint8]:
    """A made-up photo: a gradient, coarse and fine grain, and some coloured things."""
    rng = np.random.default_rng(0)
    photo = np.empty((height, width, 3), dtype=np.float32)
    photo[:] = np.linspace(200, 80, height, dtype=np.float32)[:, None, None]
    for cell in (width // 20, width // 100, 4):
        grain = rng.normal(0, 15, (height // cell + 1, width // cell + 1)).astype(np.float32)
        photo += cv2.resize(grain, (width, height))[:, :, None]
    for _ in range(40):
        side = int(rng.integers(height // 60, height // 8))
        x, y = int(rng.integers(0, width - side)), int(rng.integers(height // 4, height - side))
        photo[y : y + side, x : x + side] = rng.integers(0, 256, 3)
    return photo.clip(0, 255).astype(np.uint8)


def timed(work: Callable[[], object], rounds: int) -> dict[str, float]:
    """Milliseconds of `work`: the median, fastest and slowest of `rounds` after one to warm up."""
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return {
        "median_ms": round(statistics.median(times), 3),
        "fastest_ms": round(min(times), 3),
        "slowest_ms": round(max(times), 3),
    }


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """All rows of the table. Raises RuntimeError if the two ways of scoring differ."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (64, 114), dtype=np.uint8)
    pixels = np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT)), dtype=np.uint8)
    windows = grid_windows(WIDTH, HEIGHT, GRIDS)
    scores = score_windows(pixels, windows)
    naive = np.array(naive_scores(pixels, windows))
    ours = np.stack([scores.average, scores.inner_difference], axis=1)
    if not np.allclose(ours, naive, rtol=0, atol=1e-9):
        raise RuntimeError(f"scores differ by up to {np.abs(ours - naive).max()}")
    rows = {
        f"score {len(windows)} windows, integral image": timed(
            lambda: score_windows(pixels, windows), rounds
        ),
        f"score {len(windows)} windows, one by one": timed(
            lambda: naive_scores(pixels, windows), max(3, rounds // 4)
        ),
        "choose 35 of them": timed(lambda: choose_windows(scores, 0.05, 35, 0.25), rounds),
    }
    for name in SALIENCY_MODELS:
        saliency = load_saliency(name)
        for width, height in PHOTO_SIZES:
            photo = street_like(width, height)
            size = f"{name}, {width}x{height}"
            rows[f"one map: {size}"] = timed(partial(saliency.predict, [photo]), rounds)
            for selector in SELECTORS.values():
                rows[f"{selector.name}: {size}"] = timed(
                    partial(select_patches, photo, saliency, selector), rounds
                )
    rows |= shares(rounds)
    return rows


def shares(rounds: int) -> dict[str, dict[str, float]]:
    """Of the default selector with each model at 3848 x 2168: its maps, and everything else."""
    rows = {}
    photo = street_like(WIDTH, HEIGHT)
    for name in SALIENCY_MODELS:
        saliency = load_saliency(name)
        asked = _Asked(saliency)
        select_patches(photo, asked, DEFAULT_SELECTOR)
        rows[f"maps of a photo: {name}"] = timed(
            lambda asked=asked, saliency=saliency: [saliency.predict(one) for one in asked.calls],  # type: ignore[misc]
            rounds,
        )
        known = _Known(saliency)
        rows[f"all but the maps: {name}"] = timed(
            partial(select_patches, photo, known, DEFAULT_SELECTOR), rounds
        )
    return rows


class _Asked:
    """Notes what a model is asked for."""

    def __init__(self, model: Saliency) -> None:
        self.name = model.name
        self.calls: list[list[RgbImage]] = []
        self._model = model

    def predict(self, images: Sequence[RgbImage]) -> list[SaliencyMap]:
        self.calls.append(list(images))
        return self._model.predict(images)


class _Known:
    """Predicts each picture once, and then knows its map."""

    def __init__(self, model: Saliency) -> None:
        self.name = model.name
        self._model = model
        self._maps: dict[tuple[int, tuple[int, ...]], SaliencyMap] = {}

    def predict(self, images: Sequence[RgbImage]) -> list[SaliencyMap]:
        maps = []
        for image in images:
            # Parts of one photo, which stays where it is.
            key = (image.__array_interface__["data"][0], image.shape)
            if key not in self._maps:
                (self._maps[key],) = self._model.predict([image])
            maps.append(self._maps[key])
        return maps


def machine(threads: int) -> dict[str, str | int]:
    """What the numbers were measured on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "threads": threads,
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser("python -m benchmarks.selection", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="of OpenCV; default: %(default)s")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.threads < 1:
        parser.error("--rounds and --threads must be 1 or more")
    cv2.setNumThreads(options.threads)
    rows = measure(options.rounds)
    print(f"{'':64}{'median ms':>11}{'fastest':>11}{'slowest':>11}")
    for name, row in rows.items():
        print(f"{name:64}" + "".join(f"{value:11.2f}" for value in row.values()))
    one, all_of_them = list(rows.values())[:2]
    ratio = all_of_them["median_ms"] / one["median_ms"]
    print(f"\nintegral image against one by one: {ratio:.0f} times faster")
    for name in SALIENCY_MODELS:
        rest = rows[f"all but the maps: {name}"]["median_ms"]
        share = rest / rows[f"maps of a photo: {name}"]["median_ms"]
        print(f"{name}: all but the maps takes {share:.1%} of their time")
    result = {
        "machine": machine(options.threads),
        "rounds": options.rounds,
        "rows": rows,
        "ratio": round(ratio, 1),
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
