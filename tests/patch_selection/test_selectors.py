import pytest

from patch_selection.selectors import (
    DEFAULT_SELECTOR,
    HIERARCHICAL_FILTERED,
    SELECTORS,
    Level,
    Selector,
    load_selector,
)
from patchsearch.errors import InvalidArgument


def test_presets_are_the_thesis_tables_and_one_of_ours() -> None:
    assert {name: selector.levels for name, selector in SELECTORS.items()} == {
        "baseline-unfiltered": (Level((448,), (224,)),),
        "baseline-filtered": (Level((448,), (224,), 0.05, 35, 0.25),),
        "multisize-filtered": (Level((896, 448, 224), (224, 112, 56), 0.05, 35, 0.25),),
        "hierarchical-filtered": (
            Level((896,), (224,), 0.05, 5, 0.25),
            Level((448, 224), (112, 56), 0.3, 6, 0.25),
        ),
        # Ours.
        "multisize-refined": (
            Level((896, 448, 224), (224, 112, 56), 0.05, 23, 0.25),
            Level((224,), (56,), 0.3, 1, 0.25),
        ),
    }
    assert DEFAULT_SELECTOR is load_selector("hierarchical-filtered")


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (3848, 2168, ((448, 112), (224, 56))),
        (2168, 3848, ((448, 112), (224, 56))),
        (7696, 4336, ((896, 224), (448, 112))),
        (1360, 800, ((165, 41), (83, 21))),
        (640, 400, ((83, 21), (64, 16))),
        (640, 300, ((64, 16),)),
        (30, 20, ((64, 16),)),
    ],
)
def test_sizes_scale_with_the_short_side_down_to_64_pixels(
    width: int, height: int, expected: tuple[tuple[int, int], ...]
) -> None:
    assert HIERARCHICAL_FILTERED.grids(1, width, height) == expected


def test_sizes_that_become_equal_are_one_grid_with_the_smaller_stride() -> None:
    for order in ((448, 224), (224, 448)):
        strides = tuple({448: 224, 224: 56}[size] for size in order)
        assert Selector("coarse", (Level(order, strides),)).grids(0, 100, 100) == ((64, 16),)


def test_sizes_in_pixels_stay_as_they_are() -> None:
    selector = Selector("mine", (Level((100, 32), (50, 8)),), reference_short_side=None)
    assert selector.grids(0, 640, 300) == ((100, 50), (32, 8))


def test_unknown_selector_names_the_known() -> None:
    with pytest.raises(
        InvalidArgument, match=r"'best'.*baseline-unfiltered.*hierarchical"
    ) as raised:
        load_selector("best")
    assert raised.value.reason == "SELECTOR_UNKNOWN"


@pytest.mark.parametrize(
    "arguments",
    [
        {"sizes": (), "strides": ()},
        {"sizes": (100, 50), "strides": (10,)},
        {"sizes": (9,), "strides": (3,)},
        {"sizes": (100,), "strides": (0,)},
        {"sizes": (100,), "strides": (50,), "k": 0},
        {"sizes": (100,), "strides": (50,), "min_average": 1.5},
        {"sizes": (100,), "strides": (50,), "max_overlap": -0.1},
        {"sizes": (100,), "strides": (50,), "max_overlap": float("nan")},
    ],
)
def test_refuses_levels_that_make_no_sense(arguments: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument) as raised:
        Level(**arguments)  # type: ignore[arg-type]
    assert raised.value.reason == "SELECTOR_INVALID"


def test_refuses_selectors_without_levels_or_scale() -> None:
    with pytest.raises(InvalidArgument):
        Selector("none", ())
    with pytest.raises(InvalidArgument):
        Selector("flat", (Level((100,), (50,)),), reference_short_side=0)
