"""What decoding in a process of its own costs: `python -m benchmarks.decoding`.

One photo of 3848 x 2168 as JPEG, decoded in this process and by a decoding process in turns; the
ratio is of the medians of a round. Both give a copy of the pixels that the caller owns.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

from encoder_service.decoder import Decoder
from encoder_service.decoder_process import DecoderLimits
from encoder_service.decoding import ImageLimits, Subject, decode

_WIDTH, _HEIGHT = 3848, 2168


def main() -> int:
    """The command line: prints a line of JSON a round, and one of all rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--photos", type=int, default=10)
    asked = parser.parse_args()
    photo = _photo()
    limits = ImageLimits()
    decoder = Decoder(1, DecoderLimits.for_images(limits.max_pixels, cpu_s=6))

    def here() -> None:
        decode(photo, Subject.IMAGE, limits)

    def apart() -> None:
        decoder.decode(photo, Subject.IMAGE, limits)

    try:
        apart()
        ratios = []
        for _ in range(asked.rounds):
            seconds: dict[str, list[float]] = {"here": [], "apart": []}
            for _ in range(asked.photos):
                seconds["here"].append(_timed(here))
                seconds["apart"].append(_timed(apart))
            ms = {name: 1000 * statistics.median(values) for name, values in seconds.items()}
            ratios.append(ms["apart"] / ms["here"])
            told = {f"{name}_ms": round(value, 1) for name, value in ms.items()}
            print(json.dumps({**told, "ratio": round(ratios[-1], 3)}), flush=True)
    finally:
        decoder.close()
    spread = (statistics.median(ratios), min(ratios), max(ratios))
    print(json.dumps({"bytes": len(photo), "ratio": [round(ratio, 3) for ratio in spread]}))
    return 0


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _photo() -> bytes:
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 256, (_HEIGHT // 16, _WIDTH // 16, 3), dtype=np.uint8)
    smooth = Image.fromarray(ground).resize((_WIDTH, _HEIGHT), Image.Resampling.BICUBIC)
    noisy = np.asarray(smooth).astype(np.int16)
    noisy += rng.integers(-6, 7, noisy.shape, dtype=np.int16)
    out = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=90)
    return out.getvalue()


if __name__ == "__main__":
    main()
