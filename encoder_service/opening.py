"""From settings to a service, in an order in which mistakes are cheap."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

import cv2
from PIL import Image
from prometheus_client import CollectorRegistry

from encoder_service.model_source import find_model
from encoder_service.settings import EncoderSettings
from patch_selection import load_saliency, load_selector
from service_runtime.logs import logger
from service_runtime.processors import processors

if TYPE_CHECKING:
    from encoder_service.service import EncoderService

_CUDA_BATCH = 256
_CPU_BATCH_S = 0.25
_CPU_BATCHES = (4, 8, 16, 32, 64)


def open_service(
    settings: EncoderSettings, registry: CollectorRegistry | None = None
) -> EncoderService:
    """Opens selector, saliency and model, and puts them together; `registry` takes the metrics.

    Sets what the process has only one of: the thread counts of torch and OpenCV, and the warning
    of Pillow that our own pixel limit replaces. Raises `PatchsearchError` where something that the
    settings name does not exist or cannot be read.
    """
    selector = load_selector(settings.selector)
    saliency = load_saliency(settings.saliency)
    find_model(settings.model)
    # OpenMP threads that spin while they wait starve every other process on the machine. The
    # variable is read when torch is loaded, so torch is imported after it is set.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    from encoder_service.model_loading import load_encoder
    from encoder_service.service import make_service

    torch.set_num_threads(settings.torch_threads or processors())
    # Photos are worked on side by side already.
    cv2.setNumThreads(1)
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    loaded = load_encoder(settings.model, device=settings.device, precision=settings.precision)
    max_batch = settings.max_batch or default_batch(loaded.choice.crops_per_s)
    logger("model").info("batch size chosen", max_batch=max_batch)
    return make_service(
        settings, loaded.model, saliency, selector, max_batch=max_batch, registry=registry
    )


def default_batch(crops_per_s: float | None) -> int:
    """Crops a batch for a model of this measured speed on a CPU, or None on an accelerator.

    A query waits for the batch at work, so on a CPU that is held near a quarter of a second.
    """
    if crops_per_s is None:
        return _CUDA_BATCH
    fitting = [size for size in _CPU_BATCHES if size <= crops_per_s * _CPU_BATCH_S]
    return fitting[-1] if fitting else _CPU_BATCHES[0]
