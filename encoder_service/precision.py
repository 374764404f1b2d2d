"""On which device and in which precision a network runs fastest without losing what it knows."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from patchsearch.errors import FailedPrecondition

_TRIAL_CROPS, _TRIAL_ROUNDS = 16, 6
_SLOW_CROPS, _SLOW_ROUNDS = 4, 2
_SLOW_CROP_S = 0.1
"""From this many seconds a crop, a measurement makes do with less."""
_WORTH_IT = 1.1
"""bfloat16 gives up digits, so on a CPU it must be faster by this factor."""
_BF16_CAPABILITY = (8, 0)
_CPU_BF16_FLAGS = ("avx512_bf16", "amx_bf16")


@dataclass(frozen=True, slots=True)
class PrecisionChoice:
    """The network on its device, crops a second where measured, and why this precision."""

    network: Any
    precision: str
    crops_per_s: float | None
    why: str


def find_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, the CPU elsewhere. Raises `FailedPrecondition`
    (DEVICE_UNAVAILABLE) for a device that this machine does not have."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise FailedPrecondition(
            "DEVICE_UNAVAILABLE", f"unknown device {name!r}; use auto, cpu, cuda or cuda:N"
        ) from error
    if device.type == "cuda":
        count = torch.cuda.device_count()
        index = device.index or 0
        if index >= count:
            raise FailedPrecondition(
                "DEVICE_UNAVAILABLE", f"no device {name!r}: this machine has {count} CUDA devices"
            )
        return torch.device("cuda", index)
    if device.type != "cpu":
        raise FailedPrecondition(
            "DEVICE_UNAVAILABLE", f"device {name!r} is not supported; use auto, cpu or cuda:N"
        )
    return device


def choose_precision(
    network: Any, side: int, device: torch.device, precision: Literal["auto", "float32", "bfloat16"]
) -> PrecisionChoice:
    """Moves a float32 network on the CPU to its device and precision; the network is consumed.

    On a CPU the image tower is timed with a small batch, in both precisions where `auto` has a
    choice. Thread counts are taken as they are set.
    """
    network = network.to(memory_format=torch.channels_last)
    if device.type == "cuda":
        return _for_cuda(network.to(device), device, precision)
    return _for_cpu(network, side, precision)


def in_bfloat16(network: Any) -> Any:
    """The network in bfloat16, in place, but for batch norms: their statistics would suffer."""
    network.to(torch.bfloat16)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.float()
    return network


def _for_cuda(network: Any, device: torch.device, precision: str) -> PrecisionChoice:
    capability = torch.cuda.get_device_capability(device)
    name = torch.cuda.get_device_name(device)
    chosen, why = precision, "as the settings say"
    if precision == "auto":
        has = capability >= _BF16_CAPABILITY
        chosen = "bfloat16" if has else "float32"
        why = f"{name} {'has' if has else 'lacks'} bfloat16"
    if chosen == "bfloat16":
        network = in_bfloat16(network)
    return PrecisionChoice(network, chosen, None, why)


def _for_cpu(network: Any, side: int, precision: str) -> PrecisionChoice:
    if precision != "auto":
        network = in_bfloat16(network) if precision == "bfloat16" else network
        return PrecisionChoice(network, precision, _crops_per_s([network], side)[0], "as set")
    if not cpu_has_bfloat16():
        (rate,) = _crops_per_s([network], side)
        why = f"{rate:.1f} crops/s; this CPU lacks bfloat16"
        return PrecisionChoice(network, "float32", rate, why)
    half = in_bfloat16(copy.deepcopy(network))
    full_rate, half_rate = _crops_per_s([network, half], side)
    why = f"{half_rate:.1f} crops/s in bfloat16, {full_rate:.1f} in float32"
    if half_rate >= _WORTH_IT * full_rate:
        return PrecisionChoice(half, "bfloat16", half_rate, why)
    return PrecisionChoice(network, "float32", full_rate, why)


def cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 natively."""
    capabilities = torch.cpu.get_capabilities()
    return any(bool(capabilities.get(flag)) for flag in _CPU_BF16_FLAGS)


def _crops_per_s(networks: Sequence[Any], side: int) -> list[float]:
    """Turn by turn, and the best of each: other work on the machine then slows them all alike."""
    best = [0.0] * len(networks)
    started = time.perf_counter()
    _embed_blank(networks[0], 1, side)
    slow = time.perf_counter() - started > _SLOW_CROP_S
    crops, rounds = (_SLOW_CROPS, _SLOW_ROUNDS) if slow else (_TRIAL_CROPS, _TRIAL_ROUNDS)
    for _ in range(1 + rounds):  # the first warms up caches, and counts like the others
        for index, network in enumerate(networks):
            started = time.perf_counter()
            _embed_blank(network, crops, side)
            best[index] = max(best[index], crops / (time.perf_counter() - started))
    return best


def _embed_blank(network: Any, count: int, side: int) -> None:
    dtype = next(network.visual.parameters()).dtype
    crops = torch.zeros(count, 3, side, side, dtype=dtype)
    with torch.inference_mode():
        network.encode_image(crops.to(memory_format=torch.channels_last))
