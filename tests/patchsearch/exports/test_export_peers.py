"""The formats' own libraries read what was written, and find the boxes where they were put.

Some cannot be installed beside the services (FiftyOne, Label Studio's SDK and Datumaro want older
or other packages): `make test-formats` makes an environment for them and runs these tests there.
"""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
import warnings
import zipfile
from pathlib import Path

import pytest

from patchsearch import Box, errors
from patchsearch.exports import SetItem
from patchsearch.exports.coco import write_coco
from patchsearch.exports.csv_table import write_csv
from patchsearch.exports.cvat import write_cvat
from patchsearch.exports.fiftyone_dataset import fiftyone_samples, from_fiftyone, to_fiftyone
from patchsearch.exports.items import by_image, labels_of
from patchsearch.exports.label_studio import label_config, write_label_studio
from patchsearch.exports.tables import from_pandas, to_pandas
from patchsearch.exports.yolo import write_yolo, write_yolo_folder


def image_by_image(items: list[SetItem]) -> list[SetItem]:
    return [item for group in by_image(items).values() for item in group]


def places(items: list[SetItem]) -> list[tuple[str, str, Box]]:
    return sorted((item.image_id, item.label, item.box) for item in items)


def test_pycocotools_reads_coco(items: list[SetItem], tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is not installed")
    from pycocotools.coco import COCO

    write_coco(items, tmp_path / "set.json")
    coco = COCO(str(tmp_path / "set.json"))
    found = []
    for annotation in coco.loadAnns(coco.getAnnIds()):
        (image,) = coco.loadImgs(annotation["image_id"])
        (category,) = coco.loadCats(annotation["category_id"])
        found.append((image["file_name"], category["name"], Box(*annotation["bbox"])))
    assert sorted(found) == places(items)
    # The annotations can be scored as detections, as a detector's results are.
    detections = coco.loadRes([a for a in coco.dataset["annotations"] if "score" in a])
    assert len(detections.getAnnIds()) == len(items)


def test_pandas_reads_csv(items: list[SetItem]) -> None:
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    stream = io.BytesIO()
    write_csv([*items, SetItem("NA", "", 9, 9, Box(0, 0, 9, 9))], stream)
    frame = pd.read_csv(
        io.BytesIO(stream.getvalue()),
        keep_default_na=False,
        na_values={"score": [""]},
    )
    assert frame["image_id"].iloc[-1] == "NA"
    scores = [item.score for item in items]
    assert frame["score"].tolist()[:-1] == pytest.approx(scores, rel=1e-12)
    assert frame[["x", "y", "w", "h"]].values.tolist()[0] == [
        items[0].box.x,
        items[0].box.y,
        items[0].box.w,
        items[0].box.h,
    ]
    assert [json.loads(text) for text in frame["metadata"]][:-1] == [i.metadata for i in items]


def test_frames_lose_nothing(items: list[SetItem]) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    items = [*items, SetItem("unscored", "", 9, 9, Box(0, 0, 9, 9))]
    frame = to_pandas(items)
    assert from_pandas(frame) == items
    assert from_pandas(frame[["image_id", "x", "y", "w", "h"]])[0].box == items[0].box
    assert from_pandas(to_pandas([])) == []
    assert frame["score"].dtype == float


def test_labelformat_reads_coco_and_cvat(items: list[SetItem], tmp_path: Path) -> None:
    pytest.importorskip("labelformat", reason="labelformat is not installed")
    from labelformat.formats.coco import COCOObjectDetectionInput
    from labelformat.formats.cvat import CVATObjectDetectionInput

    # It takes scores for confidences, which are never below 0.
    items = [dataclasses.replace(item, score=abs(item.score)) for item in items]
    write_coco(items, tmp_path / "set.json")
    assert labelformat_places(COCOObjectDetectionInput(tmp_path / "set.json")) == places(items)
    write_cvat(items, tmp_path / "set.xml", name="rare <things>")
    # It checks each label against those of the task.
    assert labelformat_places(CVATObjectDetectionInput(tmp_path / "set.xml")) == places(items)


def test_labelformat_reads_yolo(photos: list[SetItem], tmp_path: Path) -> None:
    pytest.importorskip("labelformat", reason="labelformat is not installed")
    from labelformat.formats.yolov8 import YOLOv8ObjectDetectionInput

    write_yolo_folder(photos, tmp_path / "yolo", read_photo=lambda uri: Path(uri).read_bytes())
    found = YOLOv8ObjectDetectionInput(tmp_path / "yolo" / "data.yaml", "train")
    assert labelformat_places(found) == places(photos)


def labelformat_places(source) -> list[tuple[str, str, Box]]:
    found = []
    for image in source.get_labels():
        for thing in image.objects:
            left, top = thing.box.xmin, thing.box.ymin
            sides = (left, top, thing.box.xmax - left, thing.box.ymax - top)
            box = Box(*(round(side) for side in sides))
            found.append((image.image.filename, thing.category.name, box))
    return sorted(found)


@pytest.mark.parametrize("name", ["coco", "cvat", "yolo"])
def test_datumaro_reads_it(name: str, photos: list[SetItem], tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dm = pytest.importorskip("datumaro", reason="Datumaro is not installed")
    folder = tmp_path / "set"
    if name != "yolo":
        (folder / "images").mkdir(parents=True)
        for item in photos:
            shutil.copy(item.uri, folder / "images" / item.image_id)
    if name == "coco":
        (folder / "annotations").mkdir()
        write_coco(photos, folder / "annotations" / "instances_all.json")
    elif name == "cvat":
        write_cvat(photos, folder / "annotations.xml")
    else:
        write_yolo_folder(photos, folder, read_photo=lambda uri: Path(uri).read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = dm.Dataset.import_from(str(folder), name if name != "yolo" else "yolo")
    categories = dataset.categories()[dm.AnnotationType.label]
    found = [
        (
            f"{item.id}.png",
            categories[box.label].name,
            Box(*(round(side) for side in box.get_bbox())),
        )
        for item in dataset
        for box in item.annotations
    ]
    assert sorted(found) == places(photos)


def test_label_studio_takes_the_tasks(items: list[SetItem], tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("label_studio_sdk", reason="Label Studio's SDK is not installed")
        from label_studio_sdk.label_interface import LabelInterface

    config = label_config(labels_of(items))
    interface = LabelInterface(config)
    interface.validate()
    write_label_studio(items, tmp_path / "tasks.json")
    for task in json.loads((tmp_path / "tasks.json").read_text("utf-8")):
        for prediction in task["predictions"]:
            assert interface.validate_prediction(prediction, return_errors=True) == []


def test_label_studio_converts_the_tasks(photos: list[SetItem], tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("label_studio_sdk", reason="Label Studio's SDK is not installed")
        from label_studio_sdk.converter import Converter

    write_label_studio(
        photos, tmp_path / "tasks.json", as_annotations=True, url_of=lambda item: item.uri
    )
    converter = Converter(label_config(["car"]), str(tmp_path), download_resources=False)
    converter.convert_to_coco(str(tmp_path / "tasks.json"), str(tmp_path / "out"), is_dir=False)
    coco = json.loads((tmp_path / "out" / "result.json").read_text("utf-8"))
    assert sorted(
        Box(*(round(side) for side in annotation["bbox"])) for annotation in coco["annotations"]
    ) == sorted(item.box for item in photos)
    assert [category["name"] for category in coco["categories"]] == ["car"]


def test_fiftyone_keeps_the_samples(items: list[SetItem]) -> None:
    pytest.importorskip("fiftyone", reason="FiftyOne is not installed")
    items = [*items, SetItem("unscored", "file:///a%20b.jpg", 9, 9, Box(0, 0, 9, 9))]
    samples = fiftyone_samples(items)
    assert from_fiftyone(samples) == image_by_image(items)
    assert samples[-1].filepath == "/a b.jpg"


def test_fiftyone_keeps_the_data_set(items: list[SetItem]) -> None:
    pytest.importorskip("fiftyone", reason="FiftyOne is not installed")
    try:
        dataset = to_fiftyone(items)
    except errors.FailedPrecondition as error:
        assert error.reason == "FIFTYONE_UNAVAILABLE"
        pytest.skip(f"FiftyOne has no database here: {error}")
    assert from_fiftyone(dataset) == image_by_image(items)
    dataset.delete()


def test_a_missing_library_is_named_with_its_extra(photos: list[SetItem]) -> None:
    for module, make in (("pandas", to_pandas), ("fiftyone", to_fiftyone)):
        try:
            __import__(module)
        except ImportError:
            with pytest.raises(errors.FailedPrecondition) as missing:
                make(photos)
            assert missing.value.reason == "EXTRA_MISSING"
            assert f"patchsearch[{module}]" in str(missing.value)


def test_yolo_is_yaml(items: list[SetItem]) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    stream = io.BytesIO()
    write_yolo([dataclasses.replace(item, label=f"{item.label}\n- ä: b") for item in items], stream)
    with zipfile.ZipFile(stream) as archive:
        document = yaml.safe_load(archive.read("data.yaml"))
    assert document["names"] == dict(enumerate(sorted({f"{item.label}\n- ä: b" for item in items})))
    assert (document["path"], document["train"]) == (".", "images")
