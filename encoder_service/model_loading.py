"""Opens models: finds the weights, loads them with open_clip, chooses device and precision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import open_clip
import torch

from encoder_service.fingerprint import fingerprint, weights_digest
from encoder_service.model import DIM, ModelCard, Preprocessing
from encoder_service.model_source import (
    BUNDLED_DIR,
    DirectorySource,
    FileSource,
    HubSource,
    ModelSource,
    bundled_models,
    find_model,
)
from encoder_service.open_clip_model import OpenClipModel
from encoder_service.precision import PrecisionChoice, choose_precision, find_device
from patchsearch.errors import FailedPrecondition
from service_runtime.logs import logger

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that is ready, and how its precision came about."""

    model: OpenClipModel
    choice: PrecisionChoice


def load_encoder(
    name: str,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    bundled: Path = BUNDLED_DIR,
) -> LoadedModel:
    """The model of this name (see `find_model`), on its device and in its precision.

    `device`: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`. `precision`: `auto` takes
    bfloat16 where the hardware has it and, on a CPU, a measurement finds it faster. Only
    ARCHITECTURE:TAG reaches for the network. Weights are read as data, never as code.
    Raises `InvalidArgument` (ENCODER_UNKNOWN), or `FailedPrecondition`: ENCODER_WEIGHTS_MISSING,
    ENCODER_WEIGHTS_INVALID, ENCODER_UNSUPPORTED or DEVICE_UNAVAILABLE.
    """
    source = find_model(name, bundled)
    target = find_device(device)
    network, architecture = _open(name, source, bundled)
    network.eval().requires_grad_(False)
    preprocessing = _preprocessing(name, network)
    mark = fingerprint(architecture, weights_digest(network.state_dict()), preprocessing, DIM)
    choice = choose_precision(network, preprocessing.side, target, precision)
    card = ModelCard(
        name=name,
        fingerprint=mark,
        dim=DIM,
        device=str(target),
        precision=choice.precision,
        max_text_tokens=int(network.context_length),
        preprocessing=preprocessing,
    )
    model = OpenClipModel(card, choice.network, _tokenizer(name, source))
    logger("model").info(
        "model loaded",
        name=name,
        fingerprint=mark,
        device=str(target),
        precision=choice.precision,
        why=choice.why,
    )
    return LoadedModel(model, choice)


def _open(name: str, source: ModelSource, bundled: Path) -> tuple[Any, dict[str, Any]]:
    """The network in float32 on the CPU, and open_clip's configuration of its architecture."""
    locator, pretrained = _locator(source), None
    quick_gelu = False
    if isinstance(source, FileSource):
        pretrained = str(source.path)
    elif isinstance(source, HubSource):
        pretrained = source.tag
        tag = open_clip.get_pretrained_cfg(source.architecture, source.tag)
        # Weights trained with QuickGELU are wrong in a network with GELU, and open_clip only warns.
        quick_gelu = bool(tag.get("quick_gelu", False))
        logger("model").info("weights come from the model hub unless they are cached", name=name)
    try:
        architecture = open_clip.get_model_config(locator)
        network = open_clip.create_model(
            locator,
            pretrained=pretrained,
            precision="fp32",
            device="cpu",
            force_quick_gelu=quick_gelu,
            pretrained_text=False,
            require_pretrained=True,
            weights_only=True,
        )
    except Exception as error:
        raise _load_failure(name, source, error, bundled) from error
    if quick_gelu:
        architecture["quick_gelu"] = True
    return network, architecture


def _load_failure(
    name: str, source: ModelSource, error: Exception, bundled: Path
) -> FailedPrecondition:
    if isinstance(source, HubSource):
        return FailedPrecondition(
            "ENCODER_WEIGHTS_MISSING",
            f"the weights of {name} are not on this machine and could not be fetched: they need "
            f"the model hub ({error}). Start once where it can be reached and copy its cache, or "
            f"name a file ({source.architecture}:/path/to/checkpoint) or a bundled model "
            f"({', '.join(bundled_models(bundled))})",
        )
    return FailedPrecondition(
        "ENCODER_WEIGHTS_INVALID",
        f"{source.path} cannot be loaded as {name}: {error}; the weights must be a checkpoint "
        "of this architecture, in safetensors or as a state dictionary",
    )


def _locator(source: ModelSource) -> str:
    if isinstance(source, DirectorySource):
        return f"local-dir:{source.path}"
    return source.architecture


def _tokenizer(name: str, source: ModelSource) -> Any:
    try:
        return open_clip.get_tokenizer(_locator(source))
    except Exception as error:
        raise FailedPrecondition(
            "ENCODER_UNSUPPORTED", f"the tokenizer of {name} cannot be opened: {error}"
        ) from error


def _preprocessing(name: str, network: Any) -> Preprocessing:
    config = open_clip.get_model_preprocess_cfg(network)
    size = config["size"]
    width, height = (size, size) if isinstance(size, int) else size
    dim = getattr(network.visual, "output_dim", None) or _embedding_dim(network, width, height)
    if width != height or dim != DIM:
        raise FailedPrecondition(
            "ENCODER_UNSUPPORTED",
            f"{name} takes {width}x{height} px and gives {dim} numbers; only square inputs and "
            f"{DIM} numbers are supported",
        )
    mean, std = ([float(value) for value in config[key]] for key in ("mean", "std"))
    return Preprocessing(
        side=int(width),
        interpolation="bilinear" if config["interpolation"] == "bilinear" else "bicubic",
        resize_mode=config["resize_mode"],
        fill=int(config["fill_color"]),
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
    )


def _embedding_dim(network: Any, width: int, height: int) -> int:
    with torch.inference_mode():
        return int(network.encode_image(torch.zeros(1, 3, height, width)).shape[1])
