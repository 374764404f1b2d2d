"""Files of weights that say what they are for, and are checked before they are used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from patch_selection.saliency.calibration import Calibration
from patch_selection.saliency.simplenet.network import SimpleNet
from patchsearch.errors import InvalidArgument

FORMAT = "simplenet-1"


@dataclass(frozen=True, slots=True)
class Weights:
    """A trained network's tensors, in float32, and its description.

    `encoder` and `widths` as in `SimpleNet`; `calibration` is None where none was fitted yet.
    """

    encoder: str
    widths: tuple[int, ...]
    tensors: Mapping[str, Tensor]
    calibration: Calibration | None = None

    def network(self) -> SimpleNet:
        """The network with these weights, for predictions.

        Raises `InvalidArgument` (SALIENCY_WEIGHTS_INVALID) when they do not fit.
        """
        try:
            network = SimpleNet(self.encoder, self.widths)
            network.load_state_dict(dict(self.tensors))
        except (RuntimeError, ValueError) as error:
            raise _invalid(
                f"the weights are not those of simplenet on {self.encoder}: {error}"
            ) from (error)
        return network.eval()


def write_weights(path: Path, weights: Weights) -> None:
    """Write a safetensors file in float16 (running statistics in float32), with description,
    calibration and the SHA-256 sum of the tensors in its metadata."""
    tensors = {
        name: (value.half() if value.is_floating_point() and "running_" not in name else value)
        .clone()
        .contiguous()
        for name, value in weights.tensors.items()
    }
    metadata = {
        "format": FORMAT,
        "encoder": weights.encoder,
        "widths": json.dumps(weights.widths),
        "sha256": digest(tensors),
    }
    if weights.calibration is not None:
        metadata["calibration"] = json.dumps(
            {"raw": weights.calibration.raw, "value": weights.calibration.value}
        )
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata=metadata)
    partial.chmod(0o644)
    partial.replace(path)


def read_weights(path: Path) -> Weights:
    """Read a safetensors file that `write_weights` wrote, or a PyTorch file of tensors.

    A PyTorch file (read with `weights_only`) has its description beside it, in `<file>.json`, with
    the same fields. Raises `InvalidArgument`: SALIENCY_WEIGHTS_MISSING, SALIENCY_WEIGHTS_INVALID
    for another kind of file, SALIENCY_WEIGHTS_DAMAGED when the sum is another one.
    """
    if not path.is_file():
        raise InvalidArgument(
            "SALIENCY_WEIGHTS_MISSING", f"there is no file {path}; give the file of the weights"
        )
    metadata, tensors = _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
    if metadata.get("format") != FORMAT:
        raise _invalid(
            f"{path} says that its format is {metadata.get('format')!r}; it must be {FORMAT!r}, as "
            "python -m training.simplenet export writes it"
        )
    found = digest(tensors)
    if found != metadata.get("sha256"):
        raise InvalidArgument(
            "SALIENCY_WEIGHTS_DAMAGED",
            f"the tensors of {path} have the SHA-256 sum {found}, not {metadata.get('sha256')}; "
            "copy the file again",
        )
    try:
        widths = tuple(int(width) for width in json.loads(metadata["widths"]))
        table = json.loads(metadata["calibration"]) if "calibration" in metadata else None
        calibration = table and Calibration(tuple(table["raw"]), tuple(table["value"]))
        encoder = str(metadata["encoder"])
    except (KeyError, TypeError, ValueError) as error:
        raise _invalid(f"the description of {path} is incomplete ({error!r})") from error
    return Weights(
        encoder,
        widths,
        {
            name: value.float() if value.is_floating_point() else value
            for name, value in tensors.items()
        },
        calibration,
    )


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256, in hexadecimal digits, of names, types, shapes and bytes, by name."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        total.update(value.numpy().tobytes())
    return total.hexdigest()


def _safetensors(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {}), {
                name: file.get_tensor(name) for name in file.keys()
            }
    except (SafetensorError, OSError) as error:
        raise _invalid(f"{path} cannot be read as safetensors ({error})") from error


def _torch(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    description = path.with_name(f"{path.name}.json")
    try:
        metadata = json.loads(description.read_text("utf-8"))
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch.load raises what its unpickler happens to meet.
        raise _invalid(f"{path} and {description.name} cannot be read ({error})") from error
    if not isinstance(tensors, dict) or not all(
        isinstance(one, Tensor) for one in tensors.values()
    ):
        raise _invalid(f"{path} holds something else than tensors by name")
    return metadata, tensors


def _invalid(message: str) -> InvalidArgument:
    return InvalidArgument("SALIENCY_WEIGHTS_INVALID", message)
