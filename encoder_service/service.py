"""Puts the encoder together: model, queue, pools, servicer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from prometheus_client import CollectorRegistry

from encoder_service.batcher import Batcher
from encoder_service.batching import Lane
from encoder_service.call import Call
from encoder_service.crops import CropEncoder
from encoder_service.decoder import Decoder
from encoder_service.decoder_process import DecoderLimits
from encoder_service.decoding import ImageLimits
from encoder_service.explaining import SelectionExplainer
from encoder_service.limits import EncoderLimits
from encoder_service.metrics import EncoderMetrics
from encoder_service.model import Model
from encoder_service.photo_slots import PhotoSlots
from encoder_service.photos import PhotoEncoder
from encoder_service.servicer import EncoderServicer, SelectionCard
from encoder_service.settings import EncoderSettings
from encoder_service.texts import TextEncoder
from patch_selection import SELECTORS, Saliency, Selector
from patchsearch.encoder.v1.encoder_service_pb2_grpc import add_EncoderServiceServicer_to_server
from service_runtime.processors import processors
from service_runtime.server import Service

SERVICE_NAME = "patchsearch.encoder.v1.EncoderService"

_MAX_CALL_ITEMS = 1024
_WARM_UP_S = 600.0


@dataclass(frozen=True, slots=True)
class EncoderService:
    """Ready to be registered. `warm_up` runs the model once; `close` ends threads and processes."""

    service: Service
    warm_up: Callable[[], None]
    close: Callable[[], None]


def make_service(
    settings: EncoderSettings,
    model: Model,
    saliency: Saliency,
    selector: Selector,
    *,
    max_batch: int,
    registry: CollectorRegistry | None = None,
) -> EncoderService:
    """The encoder over an opened model. Threads start now, decoding processes with `warm_up` or the
    first image; all end with `close`."""
    limits = EncoderLimits(
        ImageLimits(max_pixels=int(settings.max_image_mpx * 1_000_000)),
        max_call_items=min(_MAX_CALL_ITEMS, settings.queue_limit),
        max_photos=settings.max_photos or max(1, settings.workers // 2),
    )
    metrics = EncoderMetrics(registry if registry is not None else CollectorRegistry())
    batcher = Batcher(
        model, max_batch=max_batch, queue_limit=settings.queue_limit, observe=metrics.observe
    )
    metrics.watch_queue(lambda: batcher.waiting, settings.queue_limit)
    batcher.start()
    threads = settings.preprocess_threads or processors()
    # Two pools, so that a query is not decoded behind a row of large photos.
    queries = ThreadPoolExecutor(threads, thread_name_prefix="query")
    photos = ThreadPoolExecutor(threads, thread_name_prefix="photo")
    processes = settings.decode_processes or threads
    bounds = DecoderLimits.for_images(limits.images.max_pixels, settings.decode_cpu_s)
    query_decoder, photo_decoder = Decoder(processes, bounds), Decoder(processes, bounds)
    slots = PhotoSlots(limits.max_photos)
    servicer = EncoderServicer(
        model.card,
        limits,
        SelectionCard(selector.name, saliency.name, tuple(SELECTORS)),
        TextEncoder(model, batcher, limits),
        CropEncoder(model, batcher, queries, query_decoder, limits),
        PhotoEncoder(
            model,
            batcher,
            photos,
            photo_decoder,
            limits,
            slots,
            saliency,
            selector,
            chunk=limits.max_call_items,
        ),
        SelectionExplainer(photos, photo_decoder, limits, slots, saliency, selector),
    )

    def warm_up() -> None:
        query_decoder.start()
        photo_decoder.start()
        call = Call.lasting(_WARM_UP_S)
        side = model.card.preprocessing.side
        crops = np.zeros((max_batch, side, side, 3), dtype=np.uint8)
        call.wait(batcher.submit(crops[: settings.queue_limit], Lane.CROP, call))
        call.wait(batcher.submit(model.tokenize(["a photo"]).ids, Lane.TEXT, call))

    def close() -> None:
        for pool in (queries, photos):
            pool.shutdown(wait=True, cancel_futures=True)
        for decoder in (query_decoder, photo_decoder):
            decoder.close()
        batcher.close()

    service = Service(SERVICE_NAME, servicer, add_EncoderServiceServicer_to_server)
    return EncoderService(service, warm_up, close)
