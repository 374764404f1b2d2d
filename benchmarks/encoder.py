"""How fast the encoder is through gRPC, beside its model alone: `python -m benchmarks.encoder`.

The server runs as a process of its own, as in production; callers are threads of this one. On a CPU
they share its processors, so the rates are those of the whole machine, callers included.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from patchsearch.encoder.v1 import encoder_service_pb2 as pb
from patchsearch.encoder.v1.encoder_service_pb2_grpc import EncoderServiceStub
from service_runtime.clients import open_channel
from service_runtime.logs import configure_logging

_START_S = 300.0
_CALL_S = 300.0

Work: TypeAlias = Callable[[], int]
"""Does something once, and returns how many things that were."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Things a second: the median of the rounds, the slowest and the fastest."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, rounds: Sequence[float]) -> Rate:
        """From what every round gave."""
        return cls(statistics.median(rounds), min(rounds), max(rounds))

    def __str__(self) -> str:
        return f"{self.median:.1f} ({self.least:.1f} to {self.most:.1f})"


@dataclass(frozen=True, slots=True)
class EncoderFigures:
    """One run. Crops, patches and photos are a second's."""

    model: str
    device: str
    precision: str
    selector: str
    batch: int
    callers: int
    bare_crops: Rate
    crops: Rate
    patches: Rate
    photos: Rate
    patches_a_photo: float
    photo_size: tuple[int, int]
    machine: str

    @property
    def crops_ratio(self) -> float:
        """Crops through gRPC, as a share of the bare model's."""
        return self.crops.median / self.bare_crops.median

    @property
    def patches_ratio(self) -> float:
        """Patches of photos through gRPC, as a share of the bare model's crops."""
        return self.patches.median / self.bare_crops.median


@contextmanager
def running_server(*arguments: str) -> Iterator[EncoderServiceStub]:
    """The encoder as a process; ends with the context. Raises RuntimeError if it does not start."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.json"
        command = [sys.executable, "-m", "encoder_service", "--port", "0"]
        command += ["--ready-file", str(ready), "--log-level", "warning", *arguments]
        process = subprocess.Popen(command)
        try:
            until = time.monotonic() + _START_S
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{' '.join(command)} did not start")
                time.sleep(0.05)
            address = f"127.0.0.1:{json.loads(ready.read_text())['port']}"
            with open_channel(address, max_message_mb=256) as channel:
                stub = EncoderServiceStub(channel)
                stub.GetEncoder(pb.GetEncoderRequest(), timeout=_START_S, wait_for_ready=True)
                yield stub
        finally:
            process.terminate()
            process.wait(timeout=60)


def picture(width: int, height: int, seed: int) -> bytes:
    """A JPEG with structure at all scales, as large a file as a photo of that size."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (max(2, height // 40), max(2, width // 40), 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    noisy = np.clip(smooth.astype(np.int16) + rng.integers(-8, 9, smooth.shape), 0, 255)
    out = io.BytesIO()
    Image.fromarray(noisy.astype(np.uint8)).save(out, "JPEG", quality=90)
    return out.getvalue()


def one_rate(work: Work, *, seconds: float, callers: int = 1) -> float:
    """What gets done in a second when several threads call `work` for some seconds."""
    until = time.perf_counter() + seconds

    def call(_: int) -> int:
        done = 0
        while time.perf_counter() < until:
            done += work()
        return done

    started = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        done = sum(pool.map(call, range(callers)))
    return done / (time.perf_counter() - started)


def measure(
    model: str,
    arguments: Sequence[str],
    bare: Callable[[int, str], Work],
    *,
    batch: int,
    callers: int,
    seconds: float,
    rounds: int,
    photo_size: tuple[int, int],
    crop_side: int,
) -> EncoderFigures:
    """Serves `model` and measures it beside `bare`, which makes the model alone's work for a batch
    and a precision. They take turns, so that other work on the machine slows all of them."""
    crops = [picture(crop_side, crop_side, seed) for seed in range(batch)]
    crop_call = pb.EncodeCropsRequest(crops=[pb.CropImage(image=crop) for crop in crops])
    photo_calls = [pb.SelectAndEncodeRequest(image=picture(*photo_size, seed)) for seed in range(8)]
    turn = iter(range(1_000_000_000))
    counted: list[int] = []
    with running_server("--model", model, "--max-batch", str(batch), *arguments) as stub:
        card = stub.GetEncoder(pb.GetEncoderRequest(), timeout=_CALL_S)

        def embed_crops() -> int:
            return int(stub.EncodeCrops(crop_call, timeout=_CALL_S).vectors.rows)

        def embed_photo() -> int:
            photo = photo_calls[next(turn) % len(photo_calls)]
            counted.append(len(stub.SelectAndEncode(photo, timeout=_CALL_S).patches))
            return 1

        alone = bare(batch, card.precision)
        turns = [(alone, 1), (embed_crops, callers), (embed_photo, callers)]
        rates: list[list[float]] = [[] for _ in turns]
        for work, _ in turns:
            work()
        for _ in range(rounds):
            for found, (work, threads) in zip(rates, turns, strict=True):
                found.append(one_rate(work, seconds=seconds, callers=threads))
    bare_rate, crop_rate, photo_rate = (Rate.of(found) for found in rates)
    each = statistics.mean(counted)
    return EncoderFigures(
        model=model,
        device=card.device,
        precision=card.precision,
        selector=card.selector,
        batch=batch,
        callers=callers,
        bare_crops=bare_rate,
        crops=crop_rate,
        patches=Rate(*(each * value for value in asdict(photo_rate).values())),
        photos=photo_rate,
        patches_a_photo=each,
        photo_size=photo_size,
        machine=machine(),
    )


def machine() -> str:
    """Processors and the version of Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} processors ({platform.machine()}), Python {platform.python_version()}"


def bare_cpu(model: str) -> Callable[[int, str], Work]:
    """The model alone on the CPU: pixels at its input size in, vectors out."""

    def bare(batch: int, precision: str) -> Work:
        from encoder_service.model_loading import load_encoder

        kind: Any = precision
        network = load_encoder(model, device="cpu", precision=kind).model
        side = network.card.preprocessing.side
        pixels = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), dtype=np.uint8)
        return lambda: len(network.begin_images([pixels]).result())

    return bare


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encoder", description=__doc__)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--precision", default="auto", help="auto, float32 or bfloat16")
    parser.add_argument("--selector", default="multisize-filtered")
    parser.add_argument("--batch", type=int, default=32, help="crops a call and a batch")
    parser.add_argument("--callers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=4.0, help="of every round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--photo", default="1920x1080", help="WIDTHxHEIGHT")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    configure_logging("warning", "console")
    width, height = (int(side) for side in options.photo.split("x"))
    figures = measure(
        options.model,
        ["--device", "cpu", "--precision", options.precision, "--selector", options.selector],
        bare_cpu(options.model),
        batch=options.batch,
        callers=options.callers,
        seconds=options.seconds,
        rounds=options.rounds,
        photo_size=(width, height),
        crop_side=224,
    )
    if options.json:
        ratios = {"crops_ratio": figures.crops_ratio, "patches_ratio": figures.patches_ratio}
        print(json.dumps({**asdict(figures), **ratios}))
        return 0
    print(f"{figures.model} on {figures.device} in {figures.precision}; {figures.machine}")
    print(f"bare model, batch {figures.batch}: {figures.bare_crops} crops/s")
    print(f"EncodeCrops, {figures.callers} callers: {figures.crops} crops/s", end="")
    print(f" = {figures.crops_ratio:.2f} of the bare model")
    print(f"SelectAndEncode, {options.photo}, {figures.selector}: {figures.photos} photos/s")
    print(f"  with {figures.patches_a_photo:.1f} patches each: {figures.patches} patches/s", end="")
    print(f" = {figures.patches_ratio:.2f} of the bare model")
    return 0


if __name__ == "__main__":
    sys.exit(main())
