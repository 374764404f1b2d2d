"""Vectors and boxes on the wire <-> numpy arrays and `Box`.

Pure functions without state: safe from any thread. What arrives is checked, because a vector of the
wrong size or with a NaN would poison every score that it touches.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from patchsearch.errors import InvalidArgument
from patchsearch.geometry import Box
from patchsearch.v1 import types_pb2

WireDtype = Literal["float32", "float16"]

_NUMBERS: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}
_NAMES: dict[int, WireDtype] = {
    types_pb2.VECTOR_DTYPE_FLOAT32: "float32",
    types_pb2.VECTOR_DTYPE_FLOAT16: "float16",
}
_ENUMS: dict[str, types_pb2.VectorDtype.ValueType] = {
    "float32": types_pb2.VECTOR_DTYPE_FLOAT32,
    "float16": types_pb2.VECTOR_DTYPE_FLOAT16,
}


def _packed(array: NDArray[Any], dtype: WireDtype) -> bytes:
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(array, dtype=_NUMBERS[dtype])
    if not np.isfinite(numbers).all():
        raise InvalidArgument(
            "VECTOR_INVALID", f"vector holds NaN, infinity or a number too large for {dtype}"
        )
    return numbers.tobytes()


def _unpacked(data: bytes, dtype: int, count: int, shape: str) -> NDArray[np.float32]:
    name = _NAMES.get(dtype)
    if name is None:
        raise InvalidArgument(
            "VECTOR_INVALID",
            f"vector dtype {dtype} is unknown; use VECTOR_DTYPE_FLOAT32 or VECTOR_DTYPE_FLOAT16",
        )
    expected = count * _NUMBERS[name].itemsize
    if len(data) != expected:
        raise InvalidArgument(
            "VECTOR_INVALID",
            f"vector data is {len(data)} bytes; {shape} numbers of {name} take {expected}",
        )
    numbers = np.frombuffer(data, dtype=_NUMBERS[name]).astype(np.float32)
    if not np.isfinite(numbers).all():
        raise InvalidArgument(
            "VECTOR_INVALID", "vector holds NaN or infinity; send finite numbers only"
        )
    return numbers


def matrix_to_proto(
    array: NDArray[Any], fingerprint: str, dtype: WireDtype = "float32"
) -> types_pb2.VectorMatrix:
    """Packs an (n, d) array of finite numbers; n may be 0.

    Raises InvalidArgument VECTOR_INVALID for another number of axes, NaN, infinity or what
    `dtype` cannot hold.
    """
    if array.ndim != 2:
        raise InvalidArgument(
            "VECTOR_INVALID", f"vectors have shape {array.shape}; they must be (rows, dim)"
        )
    rows, dim = array.shape
    return types_pb2.VectorMatrix(
        data=_packed(array, dtype),
        dtype=_ENUMS[dtype],
        rows=rows,
        dim=dim,
        fingerprint=fingerprint,
    )


def matrix_from_proto(message: types_pb2.VectorMatrix) -> NDArray[np.float32]:
    """Unpacks to (rows, dim) float32, C-contiguous and writable; not normalised.

    An empty matrix (rows 0) may leave dtype and dim unset and gives (0, dim). Raises
    InvalidArgument VECTOR_INVALID when dtype, dim or the length of data do not fit together, or for
    NaN and infinity. The fingerprint is the caller's to compare.
    """
    if message.rows == 0 and not message.data:
        return np.empty((0, message.dim), dtype=np.float32)
    if message.dim == 0:
        raise InvalidArgument("VECTOR_INVALID", "vectors have dim 0; set dim to 1 or more")
    numbers = _unpacked(
        message.data, message.dtype, message.rows * message.dim, f"{message.rows} x {message.dim}"
    )
    return numbers.reshape(message.rows, message.dim)


def vector_to_proto(
    array: NDArray[Any], fingerprint: str, dtype: WireDtype = "float32"
) -> types_pb2.Vector:
    """Packs a (d,) array of finite numbers; raises InvalidArgument VECTOR_INVALID for any other."""
    if array.ndim != 1:
        raise InvalidArgument(
            "VECTOR_INVALID", f"vector has shape {array.shape}; it must have one axis"
        )
    return types_pb2.Vector(
        data=_packed(array, dtype),
        dtype=_ENUMS[dtype],
        dim=array.shape[0],
        fingerprint=fingerprint,
    )


def vector_from_proto(message: types_pb2.Vector) -> NDArray[np.float32]:
    """Unpacks to (dim,) float32, writable; not normalised.

    Raises InvalidArgument VECTOR_INVALID when dtype, dim or the length of data do not fit together,
    for NaN and infinity, and for a vector without length (all zero), which points nowhere.
    """
    if message.dim == 0:
        raise InvalidArgument("VECTOR_INVALID", "vector has dim 0; set dim to 1 or more")
    numbers = _unpacked(message.data, message.dtype, message.dim, str(message.dim))
    if not math.sqrt(float(np.dot(numbers.astype(np.float64), numbers))) > 0.0:
        raise InvalidArgument("VECTOR_INVALID", "vector is all zero; it must have a direction")
    return numbers


def box_to_proto(box: Box) -> types_pb2.Box:
    """The message of a box."""
    return types_pb2.Box(x=int(box.x), y=int(box.y), w=int(box.w), h=int(box.h))


def box_from_proto(message: types_pb2.Box) -> Box:
    """The box of a message.

    Raises InvalidArgument BOX_OUTSIDE_IMAGE for what is a box in no image: w or h below 1 (an unset
    message too), or x or y below 0. Whether it lies in one certain image is `Box.inside`.
    """
    box = Box(message.x, message.y, message.w, message.h)
    if box.w < 1 or box.h < 1 or box.x < 0 or box.y < 0:
        raise InvalidArgument(
            "BOX_OUTSIDE_IMAGE",
            f"box x={box.x} y={box.y} w={box.w} h={box.h} lies in no image; "
            "x and y start at 0, w and h at 1",
        )
    return box
