"""The wheel holds the generated stubs and the bundled model; a caller's part imports alone."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def test_the_stubs_of_all_three_apis_import_from_the_wheel(unpacked: Path) -> None:
    program = (
        "from patchsearch.v1 import search_service_pb2_grpc as a;"
        "from patchsearch.encoder.v1 import encoder_service_pb2_grpc as b;"
        "from patchsearch.shard.v1 import shard_service_pb2_grpc as c;"
        "from patchsearch import Client;"
        "print(a.__file__, b.__file__, c.__file__)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(unpacked), "PATH": ""},
        cwd=unpacked.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.returncode == 0, found.stderr
    assert all(path.startswith(str(unpacked)) for path in found.stdout.split())


def test_the_bundled_model_and_the_licence_are_in_the_wheel(unpacked: Path) -> None:
    model = unpacked / "encoder_service" / "bundled" / "mini"
    weights = list(model.glob("*.safetensors"))
    assert (model / "open_clip_config.json").is_file()
    assert len(weights) == 1
    assert weights[0].stat().st_size <= 20 * 1024 * 1024
    assert list(unpacked.glob("patchsearch-*.dist-info/licenses/LICENSE"))


def test_no_tests_or_training_code_is_in_the_wheel(unpacked: Path) -> None:
    assert not (unpacked / "tests").exists()
    assert not (unpacked / "training").exists()
