from pathlib import Path

import numpy as np
import pytest

from patch_selection.saliency import (
    SALIENCY_MODELS,
    Calibration,
    UnknownSaliency,
    bundled_calibration,
    fit_calibration,
    load_saliency,
    read_calibration,
    spectral_residual,
    write_calibration,
)
from patchsearch.errors import InvalidArgument, PatchsearchError


def road_with_sign() -> np.ndarray:
    """A grey gradient with fine grain and one red disc at (300, 100)."""
    rng = np.random.default_rng(0)
    image = np.linspace(60, 160, 240)[:, None, None] + rng.normal(0, 4, (240, 400, 3))
    rows, columns = np.ogrid[:240, :400]
    image[(rows - 100) ** 2 + (columns - 300) ** 2 < 144] = (200, 30, 30)
    return image.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", SALIENCY_MODELS)
def test_the_odd_thing_out_is_salient(name: str) -> None:
    saliency = load_saliency(name).predict([road_with_sign()])[0]
    rows, columns = saliency.shape
    y, x = np.unravel_index(int(saliency.argmax()), saliency.shape)
    assert abs((x + 0.5) / columns - 300 / 400) < 0.03
    assert abs((y + 0.5) / rows - 100 / 240) < 0.05


@pytest.mark.parametrize(
    ("height", "width"), [(1080, 1920), (64, 64), (600, 300), (100, 800), (10, 4000), (1, 1)]
)
@pytest.mark.parametrize("name", SALIENCY_MODELS)
def test_maps_are_finite_in_range_and_of_one_aspect(name: str, height: int, width: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    saliency = load_saliency(name).predict([image])[0]
    assert saliency.dtype == np.float32
    assert np.isfinite(saliency).all()
    assert 0.0 <= saliency.min() <= saliency.max() <= 1.0
    if name == "simplenet-mini":
        assert saliency.shape == (256, 256)
    elif min(height, width) >= 64:
        rows, columns = saliency.shape
        assert min(rows, columns) == 64
        assert columns / rows == pytest.approx(width / height, rel=0.02)


@pytest.mark.parametrize("colour", [(0, 0, 0), (90, 120, 200), (255, 255, 255)])
@pytest.mark.parametrize("name", SALIENCY_MODELS)
def test_a_plain_picture_has_a_plain_map(name: str, colour: tuple[int, int, int]) -> None:
    image = np.full((300, 500, 3), colour, dtype=np.uint8)
    assert spectral_residual(image).max() < 0.01
    plain, sign = load_saliency(name).predict([image, road_with_sign()])
    assert not plain.any() and sign.any()


@pytest.mark.parametrize("name", SALIENCY_MODELS)
def test_contrast_does_not_matter(name: str) -> None:
    photo = road_with_sign()
    pale = (100 + photo / 2).round().astype(np.uint8)
    model = load_saliency(name)
    bold_map, pale_map = model.predict([photo, pale])
    assert np.corrcoef(bold_map.reshape(-1), pale_map.reshape(-1))[0, 1] > 0.8
    assert pale_map.mean() == pytest.approx(bold_map.mean(), rel=0.25)


def test_grey_pictures_have_maps_of_the_usual_scale() -> None:
    grey = np.repeat(road_with_sign()[:, :, :1], 3, axis=2)
    assert spectral_residual(grey).mean() == pytest.approx(1.0, abs=0.05)
    # A network puts more of what it finds into one place.
    for name, least in (("spectral-residual", 0.1), ("simplenet-mini", 0.05)):
        assert least < load_saliency(name).predict([grey])[0].mean() < 0.4


@pytest.mark.parametrize("name", SALIENCY_MODELS)
def test_a_map_does_not_depend_on_the_batch_nor_on_the_memory_layout(name: str) -> None:
    model = load_saliency(name)
    photo = road_with_sign()
    alone = model.predict([photo[20:200, 30:390]])[0]
    batch = model.predict([photo, np.ascontiguousarray(photo[20:200, 30:390])])
    # A network's sums are taken in another order in a larger batch, where that is faster.
    assert np.allclose(batch[1], alone, rtol=0, atol=0 if name == "spectral-residual" else 1e-4)
    assert model.predict([]) == []


def test_unknown_model_names_the_known() -> None:
    with pytest.raises(UnknownSaliency, match=r"'simple'.*spectral-residual") as raised:
        load_saliency("simple")
    assert isinstance(raised.value, PatchsearchError)
    assert raised.value.reason == "SALIENCY_UNKNOWN"


@pytest.mark.parametrize("name", SALIENCY_MODELS)
def test_models_know_their_names(name: str) -> None:
    assert load_saliency(name).name == name


def test_calibration_is_monotone_and_holds_its_ends() -> None:
    calibration = bundled_calibration("spectral-residual")
    raw = np.linspace(-1, 2 * calibration.raw[-1], 5000, dtype=np.float32)
    value = calibration.apply(raw)
    assert (np.diff(value) >= 0).all()
    assert value[0] == 0.0
    assert value[-1] == 1.0


def test_fitted_pixels_follow_the_power_law() -> None:
    rng = np.random.default_rng(0)
    maps = [rng.lognormal(size=(50, 70)).astype(np.float32) for _ in range(20)]
    calibration = fit_calibration(maps, exponent=3.0)
    values = np.concatenate([calibration.apply(m).reshape(-1) for m in maps])
    assert values.mean() == pytest.approx(1 / 4, abs=0.01)
    assert np.quantile(values, 0.5) == pytest.approx(0.5**3, abs=0.005)


def test_calibration_survives_its_file(tmp_path: Path) -> None:
    calibration = Calibration((0.0, 0.5, 2.0), (0.0, 0.25, 1.0))
    write_calibration(tmp_path / "table.json", calibration, {"model": "mine"})
    assert read_calibration(tmp_path / "table.json") == calibration


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ((0.0,), (0.0,)),
        ((0.0, 0.0), (0.0, 1.0)),
        ((0.0, 1.0), (1.0, 0.0)),
        ((0.0, 1.0), (0.0, 1.5)),
        ((0.0, float("nan")), (0.0, 1.0)),
        ((0.0, 1.0), (0.0, float("nan"))),
        ((0.0, 1.0), (0.0, 0.5, 1.0)),
    ],
)
def test_refuses_tables_that_are_not_monotone(
    raw: tuple[float, ...], value: tuple[float, ...]
) -> None:
    with pytest.raises(InvalidArgument) as raised:
        Calibration(raw, value)
    assert raised.value.reason == "CALIBRATION_INVALID"


def test_refuses_nothing_to_fit_on(tmp_path: Path) -> None:
    one = np.ones((4, 4), dtype=np.float32)
    for maps, exponent in (([], 3.0), ([one], 0.0), ([one], 3.0)):
        with pytest.raises(InvalidArgument):
            fit_calibration(maps, exponent)
    (tmp_path / "table.json").write_text('{"raw": [1]}')
    with pytest.raises(InvalidArgument, match="no calibration table"):
        read_calibration(tmp_path / "table.json")
