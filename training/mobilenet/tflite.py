"""Runs the quantised TFLite MobileNets, and reads their weights as floating-point numbers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 224
"""Side of the input of both nets, pixels."""

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Layer:
    """One convolution with its batch normalisation folded in: `weight` in PyTorch's order
    `(out, in / groups, h, w)` and `bias (out,)`, both float32."""

    name: str
    weight: Floats
    bias: Floats


class TfliteNet:
    """A TFLite model that takes one RGB picture `(224, 224, 3) uint8`. Not thread-safe.

    Raises FileNotFoundError where there is no such file, ImportError without `ai-edge-litert`.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        if not path.is_file():
            raise FileNotFoundError(f"no TFLite model at {path}")
        # Only who trains or asks the teachers needs the runtime.
        from ai_edge_litert.interpreter import Interpreter

        self._net = Interpreter(model_path=str(path), num_threads=threads)
        self._net.allocate_tensors()
        self._input = self._net.get_input_details()[0]["index"]
        self._output = self._net.get_output_details()[0]

    def __call__(self, pixels: Pixels) -> Floats:
        """The dequantised output of one picture, flat."""
        self._net.set_tensor(self._input, pixels[None])
        self._net.invoke()
        raw = self._net.get_tensor(self._output["index"]).reshape(-1)
        scale, zero = self._output["quantization"]
        return np.asarray((raw.astype(np.float32) - zero) * scale, np.float32)

    def layers(self) -> list[Layer]:
        """The convolutions in the order of the file, which is that of the computation."""
        details = self._net.get_tensor_details()
        found = []
        for weight, bias in itertools.pairwise(details):
            if weight["dtype"] is np.int8 and bias["dtype"] is np.int32 and _per_channel(weight):
                found.append(
                    Layer(weight["name"].split(";")[0], self._weight(weight), self._values(bias, 0))
                )
        return found

    def _weight(self, details: dict[str, Any]) -> Floats:
        axis = int(details["quantization_parameters"]["quantized_dimension"])
        values = self._values(details, axis)
        # Depthwise kernels are stored (1, h, w, channels), the others (out, h, w, in).
        order = (3, 0, 1, 2) if axis == 3 else (0, 3, 1, 2)
        return np.ascontiguousarray(values.transpose(order))

    def _values(self, details: dict[str, Any], axis: int) -> Floats:
        quantisation = details["quantization_parameters"]
        raw = self._net.get_tensor(details["index"]).astype(np.float32)
        shape = [1] * raw.ndim
        shape[axis] = -1
        zeros = quantisation["zero_points"].astype(np.float32).reshape(shape)
        return np.asarray((raw - zeros) * quantisation["scales"].reshape(shape), np.float32)


def _per_channel(details: dict[str, Any]) -> bool:
    return len(details["quantization_parameters"]["scales"]) > 1


def whole(pixels: Pixels) -> Pixels:
    """A crop of any shape stretched to the nets' input."""
    how = cv2.INTER_AREA if min(pixels.shape[:2]) > SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (SIDE, SIDE), interpolation=how), np.uint8)


def centre(pixels: Pixels) -> Pixels:
    """A picture with its short side scaled to 256 and the middle 224 x 224 cut out, as is usual
    with ImageNet."""
    height, width = pixels.shape[:2]
    scale = 256 / min(height, width)
    size = max(SIDE, round(width * scale)), max(SIDE, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(pixels, size, interpolation=how)
    x, y = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
    return np.ascontiguousarray(scaled[y : y + SIDE, x : x + SIDE], dtype=np.uint8)


def outputs(net: TfliteNet, crops: Sequence[Pixels]) -> Floats:
    """`(n, outputs)`: the net's output for crops that already have its input size."""
    return np.stack([net(crop) for crop in crops])
