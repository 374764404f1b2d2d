"""patchsearch.wire.vectors: what is packed comes back, and nothing malformed gets in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from patchsearch.errors import InvalidArgument
from patchsearch.geometry import Box
from patchsearch.v1 import types_pb2
from patchsearch.wire import vectors

half = st.floats(-1, 1, width=16)


@given(
    arrays.arrays(np.float32, st.tuples(st.integers(0, 5), st.integers(1, 9)), elements=half),
    st.sampled_from(["float32", "float16"]),
)
def test_a_matrix_comes_back_as_it_was(matrix: np.ndarray, dtype: vectors.WireDtype) -> None:
    message = vectors.matrix_to_proto(matrix, "abc", dtype)
    wire = types_pb2.VectorMatrix.FromString(message.SerializeToString())
    back = vectors.matrix_from_proto(wire)
    assert back.dtype == np.float32
    assert back.flags.c_contiguous and back.flags.writeable
    np.testing.assert_array_equal(back, matrix)
    assert wire.fingerprint == "abc"
    assert len(wire.data) == matrix.size * (2 if dtype == "float16" else 4)


def test_a_strided_matrix_is_packed_row_by_row() -> None:
    matrix = np.arange(12, dtype=np.float64).reshape(3, 4)[:, ::2]
    np.testing.assert_array_equal(
        vectors.matrix_from_proto(vectors.matrix_to_proto(matrix, "f")), matrix
    )


def test_a_vector_comes_back_as_it_was() -> None:
    vector = np.random.default_rng(0).normal(size=512).astype(np.float32)
    message = vectors.vector_to_proto(vector, "abc")
    np.testing.assert_array_equal(vectors.vector_from_proto(message), vector)
    rounded = vectors.vector_from_proto(vectors.vector_to_proto(vector, "abc", "float16"))
    np.testing.assert_array_equal(rounded, vector.astype(np.float16).astype(np.float32))


def valid() -> types_pb2.Vector:
    return vectors.vector_to_proto(np.ones(4, np.float32), "f")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dim": 5}, "20"),
        ({"dim": 3}, "12"),
        ({"dim": 0}, "dim 0"),
        ({"data": b""}, "0 bytes"),
        ({"dtype": 0}, "dtype 0"),
        ({"dtype": 99}, "dtype 99"),
        ({"dtype": types_pb2.VECTOR_DTYPE_FLOAT16}, "8"),
        ({"data": np.array([1, np.nan, 0, 0], "<f4").tobytes()}, "NaN"),
        ({"data": np.array([1, np.inf, 0, 0], "<f4").tobytes()}, "infinity"),
        ({"data": np.zeros(4, "<f4").tobytes()}, "zero"),
    ],
)
def test_a_malformed_vector_is_refused(change: dict[str, object], says: str) -> None:
    message = valid()
    for field, value in change.items():
        setattr(message, field, value)
    with pytest.raises(InvalidArgument, match=says) as caught:
        vectors.vector_from_proto(message)
    assert caught.value.reason == "VECTOR_INVALID"


@pytest.mark.parametrize("change", [{"rows": 3}, {"dim": 0}, {"dim": 3}, {"rows": 0}])
def test_a_malformed_matrix_is_refused(change: dict[str, int]) -> None:
    message = vectors.matrix_to_proto(np.ones((2, 4), np.float32), "f")
    for field, value in change.items():
        setattr(message, field, value)
    with pytest.raises(InvalidArgument):
        vectors.matrix_from_proto(message)


def test_an_unset_matrix_is_empty() -> None:
    assert vectors.matrix_from_proto(types_pb2.VectorMatrix()).shape == (0, 0)


@pytest.mark.parametrize("shape", [(4,), (1, 2, 2)])
def test_only_two_axes_make_a_matrix(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument, match="rows, dim"):
        vectors.matrix_to_proto(np.zeros(shape), "f")


def test_numbers_that_half_precision_cannot_hold_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="float16"):
        vectors.vector_to_proto(np.array([70000.0, 1.0]), "f", "float16")


@given(*[st.integers(0, 2**31 - 1)] * 2, *[st.integers(1, 2**31 - 1)] * 2)
def test_a_box_comes_back_as_it_was(x: int, y: int, w: int, h: int) -> None:
    assert vectors.box_from_proto(vectors.box_to_proto(Box(x, y, w, h))) == Box(x, y, w, h)


@pytest.mark.parametrize("box", [(0, 0, 0, 0), (-1, 0, 1, 1), (0, -1, 1, 1), (0, 0, 1, -1)])
def test_a_box_of_no_image_is_refused(box: tuple[int, int, int, int]) -> None:
    x, y, w, h = box
    with pytest.raises(InvalidArgument) as caught:
        vectors.box_from_proto(types_pb2.Box(x=x, y=y, w=w, h=h))
    assert caught.value.reason == "BOX_OUTSIDE_IMAGE"
