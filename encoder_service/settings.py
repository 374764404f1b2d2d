"""Settings of the encoder's server."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from encoder_service.decoding import MAX_SETTABLE_MPX
from service_runtime.settings import ServiceSettings


class EncoderSettings(ServiceSettings):
    """What `patchsearch-encoder` takes."""

    model_config = SettingsConfigDict(env_prefix="PATCHSEARCH_ENCODER_")

    port: int = Field(7102, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(32, ge=1, le=1024, description="Calls that are worked on at a time.")
    model: str = Field(
        "mini",
        min_length=1,
        description="Model: a bundled one (mini), a directory in open_clip's format, "
        "ARCHITECTURE:/path/to/checkpoint, or ARCHITECTURE:TAG from the model hub, such as "
        "ViT-B-16:openai.",
    )
    device: str = Field(
        "auto", description="Where the model runs: auto (CUDA where there is one), cpu, cuda:N."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Arithmetic of the model; auto takes bfloat16 where the hardware has it and, "
        "on a CPU, where a measurement at the start finds it faster.",
    )
    selector: str = Field(
        "hierarchical-filtered", description="Patch selector for photos that ask for none."
    )
    saliency: str = Field(
        "simplenet-mini",
        description="Saliency model for patch selection: simplenet-mini, spectral-residual, or one "
        "in a file: simplenet:FILE, litert:FILE, onnx:FILE.",
    )
    max_batch: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="Most crops or texts in one batch of the model; by default 256 on CUDA, and on "
        "a CPU as many as take a quarter of a second, 4 to 64.",
    )
    queue_limit: int = Field(
        4096,
        ge=1,
        le=1_000_000,
        description="Most crops and texts that may wait for the model; beyond that callers are "
        "refused with OVERLOADED.",
    )
    max_photos: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Most photos in work at a time; beyond that callers are refused with "
        "OVERLOADED. By default half of the workers, so that the others stay free for queries.",
    )
    max_image_mpx: float = Field(
        64.0,
        gt=0,
        le=MAX_SETTABLE_MPX,
        description="Most million pixels in an image, by its header.",
    )
    torch_threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Threads of the model on a CPU; by default one for each processor that this "
        "process may use.",
    )
    preprocess_threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Threads that decode, select and cut, as many again for queries; by default "
        "one for each processor that this process may use.",
    )
    decode_processes: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Processes that decode photos, as many again for queries, each limited in "
        "memory and started when needed; by default one for each thread.",
    )
    decode_cpu_s: float = Field(
        6.0,
        gt=0,
        le=600,
        description="Seconds of processor time in which an image of max_image_mpx must be decoded; "
        "a smaller one gets its share, but a second at least; beyond that it is refused with "
        "IMAGE_TOO_LARGE.",
    )
