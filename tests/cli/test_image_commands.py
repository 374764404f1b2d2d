"""`patchsearch get | delete | list | describe | version`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from PIL import Image


def test_describe_tells_encoder_sizes_and_partitions(run, stored: Path) -> None:
    state = json.loads(run("describe", "--json").stdout)
    assert state["encoder"] == "mini"
    assert state["dim"] == 512
    assert state["images"] >= 5
    assert sum(part["patches"] for part in state["partitions"]) == state["patches"]
    assert state["coverage"] == 1.0 and state["recall"] == []
    replicas = [replica for part in state["partitions"] for replica in part["replicas"]]
    assert {replica["state"] for replica in replicas} == {"in use"}
    told = run("describe").stdout
    assert "mini" in told and "coverage 100%: 1 of 1 partitions" in told and ": in use" in told


def test_list_goes_by_id_and_prints_an_object_a_line(run, stored: Path) -> None:
    lines = run("list", "--json").stdout.splitlines()
    ids = [json.loads(line)["image_id"] for line in lines]
    assert ids == sorted(ids, key=str.encode)
    assert {"0.jpg", "drive 2/Größe.jpg"} <= set(ids)
    only = run("list", "--prefix", "drive 2/").stdout.splitlines()
    assert len(only) == 1 and only[0].startswith("drive 2/Größe.jpg\t800x450\t")


def test_get_tells_patches_and_vectors(run, stored: Path) -> None:
    detail = json.loads(run("get", "1.jpg", "--vectors", "--json").stdout)
    assert detail["image"]["width"] == 800
    assert len(detail["vectors"]) == len(detail["patches"]) == detail["image"]["patch_count"]
    assert len(detail["vectors"][0]) == 512


def test_what_is_not_there(run, served: str) -> None:
    done = run("get", "nowhere.jpg")
    assert done.returncode == 1
    assert "IMAGE_NOT_FOUND" in done.stderr
    assert run("delete", "nowhere.jpg").stdout == "deleted 0 of 1\n"


def test_a_deleted_photo_is_gone_and_can_come_back(run, stored: Path, tmp_path: Path) -> None:
    Image.open(stored / "3.jpg").save(tmp_path / "extra.png")
    assert run("ingest", tmp_path).returncode == 0
    assert run("delete", "extra.png").stdout == "deleted 1 of 1\n"
    assert run("get", "extra.png").returncode == 1
    assert run("ingest", tmp_path).returncode == 0
    assert run("get", "extra.png").returncode == 0
    assert run("delete", "extra.png").returncode == 0


def test_version_and_help(run) -> None:
    assert run("version").stdout.strip()
    assert "ingest" in run("--help").stdout


def test_serving_without_the_server_extra_names_the_remedy(tmp_path: Path) -> None:
    program = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "grpc_health":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuse())
from patchsearch.cli.app import run
sys.exit(run(["serve", "--data", sys.argv[1]]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "pip install 'patchsearch[server]'" in done.stderr
    assert "Traceback" not in done.stderr
