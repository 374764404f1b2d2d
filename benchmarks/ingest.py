"""Does an ingest run as fast as its slowest stage? `python -m benchmarks.ingest`.

Encoder, shard and router run as `patchsearch serve` starts them, over generated photos in a folder.
In each round the stages are timed alone - reading and digesting the files, selecting and embedding
them at the encoder, writing the result at the shard - and then the whole run with photos of new
ids. The share is the rate of the run over that of its slowest stage.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
import numpy as np
from PIL import Image

from ingest import PhotoSource, run_ingest
from ingest.read_ahead import read_ahead
from patchsearch.client import Client
from patchsearch.encoder.v1 import encoder_service_pb2
from patchsearch.encoder.v1.encoder_service_pb2_grpc import EncoderServiceStub
from patchsearch.photos import PreparedPhoto
from patchsearch.serving import EmbeddedCluster
from patchsearch.shard.v1 import shard_service_pb2
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from patchsearch.v1 import types_pb2
from patchsearch.wire.ingest_flow import MAX_IN_FLIGHT
from service_runtime.clients import open_channel
from service_runtime.logs import configure_logging

_CALL_S = 600.0


def main() -> int:
    """The command line: prints a line a round, then medians as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=48)
    parser.add_argument("--width", type=int, default=1920)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--encoder", default="mini")
    asked = parser.parse_args()
    configure_logging("error", "console")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        photos = list(_photos(folder, asked.photos, asked.width, asked.height))
        data = folder / "data"
        cluster = stack.enter_context(EmbeddedCluster(data, encoder=asked.encoder))
        stages = _Stages(stack, data)
        client = stack.enter_context(Client(cluster.address))
        stages.encode(list(_read(photos))[:4])  # warm
        rounds = []
        for number in range(asked.rounds):
            rates = stages.rates(photos, number)
            started = time.perf_counter()
            summary = run_ingest(client, [_named(p, f"run-{number}") for p in photos])
            rates["run"] = summary.progress.stored / (time.perf_counter() - started)
            if not summary.is_complete:
                raise RuntimeError(f"the run was not complete: {summary}")
            rates["share"] = rates["run"] / min(v for k, v in rates.items() if k != "run")
            rounds.append(rates)
            told = ", ".join(f"{name} {rate:.2f}" for name, rate in rates.items())
            print(f"round {number}: photos a second: {told}", file=sys.stderr, flush=True)
    medians = {name: round(statistics.median(r[name] for r in rounds), 3) for name in rounds[0]}
    print(json.dumps({"photos": asked.photos, "size": [asked.width, asked.height], **medians}))
    return 0


class _Stages:
    """The stages, each alone."""

    def __init__(self, stack: ExitStack, data: Path) -> None:
        def channel(name: str) -> grpc.Channel:
            port = json.loads((data / "run" / f"{name}.json").read_text())["port"]
            return stack.enter_context(open_channel(f"127.0.0.1:{port}"))

        self._encoder = EncoderServiceStub(channel("encoder"))
        self._shard = ShardServiceStub(channel("shard-0"))
        described = self._shard.DescribePartitions(
            shard_service_pb2.DescribePartitionsRequest(), timeout=_CALL_S
        )
        self._partition = described.partitions[0].partition_id

    def rates(self, photos: Sequence[PhotoSource], number: int) -> dict[str, float]:
        """Photos a second of every stage."""
        started = time.perf_counter()
        read = list(_read(photos))
        was_read = time.perf_counter()
        encoded = self.encode(read)
        was_encoded = time.perf_counter()
        images = [
            _stored(f"stage-{number}/{n}", photo, answer)
            for n, (photo, answer) in enumerate(zip(read, encoded, strict=True))
        ]
        begun = time.perf_counter()
        self.write(images)
        written = time.perf_counter()
        return {
            "read": len(photos) / (was_read - started),
            "encode": len(photos) / (was_encoded - was_read),
            "write": len(photos) / (written - begun),
        }

    def encode(
        self, photos: Sequence[PreparedPhoto]
    ) -> list[encoder_service_pb2.SelectAndEncodeResponse]:
        """As many at a time as an ingest stream has under way."""

        def one(photo: PreparedPhoto) -> encoder_service_pb2.SelectAndEncodeResponse:
            request = encoder_service_pb2.SelectAndEncodeRequest(image=photo.content)
            answer: encoder_service_pb2.SelectAndEncodeResponse = self._encoder.SelectAndEncode(
                request, timeout=_CALL_S
            )
            return answer

        with ThreadPoolExecutor(MAX_IN_FLIGHT) as pool:
            return list(pool.map(one, photos))

    def write(self, images: Sequence[shard_service_pb2.StoredImage]) -> None:
        """One image a call, as many at a time."""

        def one(image: shard_service_pb2.StoredImage) -> None:
            request = shard_service_pb2.PutImagesRequest(
                partition_id=self._partition, images=[image]
            )
            self._shard.PutImages(request, timeout=_CALL_S)

        with ThreadPoolExecutor(MAX_IN_FLIGHT) as pool:
            list(pool.map(one, images))


def _photos(folder: Path, count: int, width: int, height: int) -> Iterator[PhotoSource]:
    """Photos with objects to find and noise that JPEG has to code."""
    rng = np.random.default_rng(0)
    for number in range(count):
        ground = rng.integers(60, 180, (height // 40, width // 40, 3), dtype=np.uint8)
        picture = Image.fromarray(ground).resize((width, height), Image.Resampling.BICUBIC)
        for _ in range(12):
            side = int(rng.integers(height // 16, height // 5))
            x, y = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
            colour = tuple(int(c) for c in rng.integers(0, 256, 3))
            picture.paste(colour, (x, y, x + side, y + side))
        pixels = np.asarray(picture).astype(np.int16)
        pixels += rng.integers(-6, 7, pixels.shape, dtype=np.int16)
        path = folder / f"{number}.jpg"
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, quality=90)
        yield PhotoSource(path.name, path, str(path))


def _read(photos: Sequence[PhotoSource]) -> Iterator[PreparedPhoto]:
    for photo in read_ahead(photos):
        if not isinstance(photo, PreparedPhoto):
            raise RuntimeError("a photo could not be read")
        yield photo


def _named(photo: PhotoSource, prefix: str) -> PhotoSource:
    return PhotoSource(f"{prefix}/{photo.image_id}", photo.path, photo.uri)


def _stored(
    image_id: str, photo: PreparedPhoto, answer: encoder_service_pb2.SelectAndEncodeResponse
) -> shard_service_pb2.StoredImage:
    image = shard_service_pb2.StoredImage(
        image_id=image_id,
        version=time.time_ns() // 1_000_000 << 16,
        width=answer.width,
        height=answer.height,
        digest=photo.digest,
        selection=answer.selection,
        vectors=answer.vectors,
    )
    for patch in answer.patches:
        box = types_pb2.Box(x=patch.box.x, y=patch.box.y, w=patch.box.w, h=patch.box.h)
        image.patches.add(box=box, level=patch.level, selection_score=patch.score)
    return image


if __name__ == "__main__":
    sys.exit(main())
