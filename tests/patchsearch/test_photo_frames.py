"""A pandas frame is ingested row by row."""

from __future__ import annotations

import datetime
import io
from pathlib import Path

import pytest
from PIL import Image

from patchsearch import AsyncClient, Client, IngestOutcome, errors

pd = pytest.importorskip("pandas", reason="pandas is not installed")


def test_paths_ids_and_metadata(client: Client, fake, tmp_path: Path) -> None:
    for name in ("red", "blue"):
        Image.fromarray(fake.picture(name)).save(tmp_path / f"{name}.png")
    frame = pd.DataFrame(
        {
            "path": [str(tmp_path / "red.png"), str(tmp_path / "blue.png")],
            "image_id": ["a", "b"],
            "uri": ["s3://x/red.png", None],
            "speed": [12, 7],
            "weather": ["snow", float("nan")],
            "time": pd.to_datetime(["2022-03-01T10:00:00Z", None]),
            "night": pd.array([True, pd.NA], dtype="boolean"),
        }
    )
    assert {r.outcome for r in client.ingest(frame)} == {IngestOutcome.STORED}
    first, second = (client.get(image_id).image for image_id in ("a", "b"))
    assert first.uri == "s3://x/red.png" and second.uri == str(tmp_path / "blue.png")
    assert first.metadata == {
        "speed": 12,
        "weather": "snow",
        "time": "2022-03-01T10:00:00+00:00",
        "night": True,
    }
    assert second.metadata == {"speed": 7}


def test_pictures_in_cells(client: Client, fake) -> None:
    encoded = io.BytesIO()
    Image.fromarray(fake.picture("blue")).save(encoded, "PNG")
    pixels = [fake.picture("red"), Image.fromarray(fake.picture("green")), encoded.getvalue()]
    frame = pd.DataFrame({"pixels": pixels, "taken": [datetime.date(2022, 3, 1)] * 3})
    results = list(client.ingest(frame))
    assert [r.outcome for r in results] == [IngestOutcome.STORED] * 3
    assert all(r.image_id.startswith("sha256-") for r in results)
    assert client.get(results[0].image_id).image.metadata == {"taken": "2022-03-01"}


async def _ingested(address: str, frame: object) -> list[str]:
    async with AsyncClient(address, timeout_s=10) as client:
        return [result.image_id async for result in client.ingest(frame)]


@pytest.mark.asyncio
async def test_the_asyncio_client_takes_frames(address: str, fake, tmp_path: Path) -> None:
    Image.fromarray(fake.picture("red")).save(tmp_path / "red.png")
    path = str(tmp_path / "red.png")
    assert await _ingested(address, pd.DataFrame({"uri": [path]})) == [path]


def test_a_frame_without_photos_is_refused(client: Client) -> None:
    for frame in (pd.DataFrame({"picture": ["a.jpg"]}), pd.DataFrame({"path": [None]})):
        with pytest.raises(errors.InvalidArgument) as refused:
            list(client.ingest(frame))
        assert refused.value.reason == "FRAME_INVALID"
