from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from patchsearch.errors import InvalidArgument
from router.composition import MAX_TERMS, compose_query

weights_strategy = st.floats(-1e30, 1e30).filter(lambda w: abs(w) > 1e-30)


def reason(vectors: np.ndarray, weights: list[float]) -> str:
    with pytest.raises(InvalidArgument) as caught:
        compose_query(vectors, weights)
    return caught.value.reason


def test_two_crops_of_equal_weight_give_their_normalised_mean() -> None:
    """Thesis eq. 4.1."""
    composed = compose_query(np.eye(3)[:2], [1.0, 1.0])
    assert composed.dtype == np.float32
    np.testing.assert_allclose(composed, [math.sqrt(0.5), math.sqrt(0.5), 0.0], rtol=1e-7)


def test_weights_shift_the_mean() -> None:
    composed = compose_query(np.eye(2), [3.0, 4.0])
    np.testing.assert_allclose(composed, [0.6, 0.8], rtol=1e-7)


def test_a_negative_weight_pushes_away() -> None:
    towards, away = np.eye(2)
    assert compose_query(np.stack([towards, away]), [1.0, -0.5]) @ away < 0


def test_rows_count_as_directions_whatever_their_length() -> None:
    np.testing.assert_array_equal(
        compose_query(np.array([[10.0, 0.0], [0.0, 0.001]]), [1, 1]),
        compose_query(np.eye(2), [1, 1]),
    )


@given(
    st.integers(1, 6).flatmap(
        lambda n: st.tuples(
            hnp.arrays(np.float64, (n, 8), elements=st.floats(-1, 1, width=32)),
            st.lists(weights_strategy, min_size=n, max_size=n),
        )
    )
)
def test_the_query_has_unit_length_and_does_not_depend_on_the_weights_scale(
    drawn: tuple[np.ndarray, list[float]],
) -> None:
    vectors, weights = drawn
    assume((np.linalg.norm(vectors, axis=1) > 1e-3).all())
    assume(any(w > 0 for w in weights))
    try:
        composed = compose_query(vectors, weights)
    except InvalidArgument as error:
        assert error.reason == "QUERY_EMPTY"
        return
    assert abs(np.linalg.norm(composed.astype(np.float64)) - 1) < 1e-6
    np.testing.assert_array_equal(composed, compose_query(vectors, [w * 2 for w in weights]))


def test_weights_at_the_end_of_the_range_do_not_overflow() -> None:
    composed = compose_query(np.eye(2), [3.4e38, 3.4e38])
    np.testing.assert_allclose(composed, [math.sqrt(0.5)] * 2, rtol=1e-6)


@pytest.mark.parametrize("weight", [0.0, math.nan, math.inf, -math.inf])
def test_a_weight_that_means_nothing_is_refused(weight: float) -> None:
    assert reason(np.eye(2), [1.0, weight]) == "WEIGHT_INVALID"


def test_no_terms_are_no_query() -> None:
    assert reason(np.empty((0, 4)), []) == "QUERY_EMPTY"


def test_terms_that_cancel_out_are_no_query() -> None:
    assert reason(np.array([[1.0, 0.0], [1.0, 0.0]]), [1.0, -1.0]) == "QUERY_EMPTY"


def test_negatives_only_are_refused_with_the_remedy() -> None:
    with pytest.raises(InvalidArgument, match="add a term with a positive weight") as caught:
        compose_query(np.eye(2), [-1.0, -2.0])
    assert caught.value.reason == "QUERY_NEGATIVE_ONLY"


def test_more_terms_than_the_limit_are_refused() -> None:
    vectors = np.ones((MAX_TERMS + 1, 2))
    assert reason(vectors, [1.0] * (MAX_TERMS + 1)) == "BATCH_OUT_OF_RANGE"
    assert compose_query(vectors[:-1], [1.0] * MAX_TERMS).shape == (2,)
