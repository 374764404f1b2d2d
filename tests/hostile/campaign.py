"""Hostile input against real servers: `python -m tests.hostile.campaign`.

Encoder (the bundled model), a shard and a router run as processes on loopback. The curated images
and a sample of their mutants go over gRPC; all mutants go through the decoding processes by
`Decoder`, which is where the servers' own calls go. The status is 1 when anything crashed, took
over 2 s, ended with INTERNAL or UNKNOWN, or let memory grow without bound.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path

from encoder_service.decoder import Decoder
from encoder_service.decoder_process import DecoderLimits
from encoder_service.decoding import ImageLimits, Subject
from patchsearch.encoder.v1 import encoder_service_pb2 as encoder_pb
from patchsearch.errors import InvalidArgument
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.v1.search_service_pb2_grpc import SearchServiceStub
from service_runtime.clients import open_channel
from service_runtime.logs import configure_logging
from tests.hostile.connections import garbage, idle_connections, ping_flood
from tests.hostile.hostile_calls import hostile_calls
from tests.hostile.hostile_images import hostile_images
from tests.hostile.judge import HANG_S, Report
from tests.hostile.mutants import mutants
from tests.hostile.raw_calls import Answer, RawCall, RawChannel, method
from tests.hostile.watched_cluster import WatchedCluster, watched_cluster

_REASONS = ("IMAGE_UNDECODABLE", "IMAGE_TOO_LARGE")
_OVER_GRPC_SHARE = 100


def decode_mutants(count: int, seed: int, report: Report) -> None:
    """Sends mutants of the curated images through decoding processes, two at a time."""
    images = ImageLimits(max_pixels=16_000_000)
    decoder = Decoder(2, DecoderLimits.for_images(images.max_pixels, cpu_s=1.5))

    def outcome(item: tuple[str, bytes]) -> None:
        name, data = item
        started = time.monotonic()
        try:
            pixels = decoder.decode(data, Subject.IMAGE, images)
            ended = "pixels" if pixels.ndim == 3 and pixels.shape[2] == 3 else "wrong shape"
        except InvalidArgument as error:
            ended = error.reason
        except Exception as error:
            ended = repr(error)
        seconds = time.monotonic() - started
        report.outcomes[f"mutant: {ended}"] += 1
        report.took(name, seconds)
        if seconds > HANG_S:
            # Its process is killed after 1.5 s of processor time, so the machine was busy.
            report.slow.append(f"{name}: {seconds:.1f} s")
        if ended != "pixels" and ended not in _REASONS:
            report.failures.append(f"{name}: {ended}")

    try:
        with ThreadPoolExecutor(2) as pool:
            source = mutants(hostile_images(), count, seed)
            done = 0
            while batch := list(islice(source, 1000)):
                list(pool.map(outcome, batch))
                done += len(batch)
                _say(f"{done} of {count} mutants decoded", report)
        report.mutants += done
    finally:
        decoder.close()


def send_images(cluster: WatchedCluster, items: Iterable[tuple[str, bytes]], report: Report) -> int:
    """Sends images as photos, as crops and as queries; gives how many."""
    sent = 0
    with RawChannel(cluster.addresses["encoder"]) as encoder, RawChannel(
        cluster.addresses["router"]
    ) as router:  # fmt: skip
        for name, data in items:
            photo = encoder_pb.SelectAndEncodeRequest(image=data)
            crop = encoder_pb.EncodeCropsRequest(crops=[encoder_pb.CropImage(image=data)])
            stored = pb.IngestImagesRequest(image_id=name, content=data)
            for channel, server, target, message in (
                (encoder, "encoder", "SelectAndEncode", photo),
                (encoder, "encoder", "EncodeCrops", crop),
                (router, "router", "IngestImages", stored),
            ):
                asked = method(server, target)
                call = RawCall(name, server, asked, (message.SerializeToString(),))
                report.judge(f"{target}: {name}", call, _costed(cluster, channel, call))
            sent += 1
            if sent % 20 == 0:
                report.judge_cluster(cluster, name)
                _say(f"{sent} images sent", report)
    report.judge_cluster(cluster, "the images")
    return sent


def send_calls(cluster: WatchedCluster, count: int, seed: int, report: Report) -> None:
    """Sends hostile calls, one after the other, and looks after the servers in between."""
    with open_channel(cluster.addresses["router"]) as channel:
        card = SearchServiceStub(channel).DescribeCollection(
            pb.DescribeCollectionRequest(), timeout=30
        )
    image = hostile_images()["jpeg sound"]
    calls = hostile_calls(
        count, seed, fingerprint=card.fingerprint,
        partition=card.partitions[0].partition_id, image=image,
    )  # fmt: skip
    channels = {name: RawChannel(address) for name, address in cluster.addresses.items()}
    try:
        for call in calls:
            answer = _costed(cluster, channels[call.server], call)
            report.judge(call.name, call, answer)
            report.calls += 1
            if report.calls % 50 == 0:
                report.judge_cluster(cluster, call.name)
                _say(f"{report.calls} of {count} calls", report)
    finally:
        for channel in channels.values():
            channel.__exit__()
    report.judge_cluster(cluster, "the calls")


def crowd(cluster: WatchedCluster, connections: int, pings: int, report: Report) -> None:
    """Idle connections, floods of pings, and no HTTP/2, while the servers must answer others."""
    for name, address in cluster.addresses.items():
        with idle_connections(address, connections) as opened:
            report.idle_connections += opened
            report.judge_cluster(cluster, f"{opened} idle connections to the {name}")
        report.outcomes["pings"] += ping_flood(address, pings)
        garbage(address)
        report.judge_cluster(cluster, f"a crowd at the {name}")


def run_campaign(
    directory: Path, *, mutant_count: int, calls: int, seed: int, connections: int = 1000,
    curated: int | None = None,
) -> Report:  # fmt: skip
    """The whole campaign; `curated` limits the images of the curated set that go over gRPC."""
    report = Report()
    images = hostile_images()
    report.images = len(images)
    with watched_cluster(directory) as cluster:
        _say(f"servers run: {dict(cluster.pids)}", report)
        send_images(cluster, [("warm up", images["jpeg sound"])], Report())
        chosen = list(images.items())
        if curated is not None:
            chosen = chosen[:: max(1, len(chosen) // curated)]
        send_images(cluster, chosen, report)
        sample = mutants(images, max(1, mutant_count // _OVER_GRPC_SHARE), seed + 1)
        report.mutants_over_grpc = send_images(cluster, sample, report)
        send_calls(cluster, calls, seed, report)
        crowd(cluster, connections, 20 * connections, report)
        report.judge_memory(cluster)
    decode_mutants(mutant_count, seed, report)
    return report


def _costed(cluster: WatchedCluster, channel: RawChannel, call: RawCall) -> Answer:
    before = cluster.cpu_s()
    answer = channel.answer(call)
    return replace(answer, cpu_s=cluster.cpu_s() - before)


def _say(line: str, report: Report) -> None:
    last = f"; the last one: {report.failures[-1]}" if report.failures else ""
    print(f"{line}, {len(report.failures)} failures{last}", file=sys.stderr, flush=True)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=20_000)
    parser.add_argument("--rpcs", type=int, default=500)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    configure_logging("error", "console")
    with tempfile.TemporaryDirectory() as directory:
        report = run_campaign(
            Path(directory) / "data", mutant_count=asked.mutants, calls=asked.rpcs,
            seed=asked.seed, connections=asked.connections,
        )  # fmt: skip
    told = json.dumps(report.as_dict(), indent=2, ensure_ascii=False)
    if asked.json:
        asked.json.write_text(told)
    print(told)
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
