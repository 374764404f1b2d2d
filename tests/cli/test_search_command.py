"""`patchsearch search`: texts, crops, regions, both directions, and how answers are shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image


def test_a_region_of_a_stored_photo_finds_itself_first(run, stored: Path) -> None:
    patch = json.loads(run("get", "2.jpg", "--json").stdout)["patches"][0]["box"]
    place = "{x},{y},{w},{h}".format(**patch)
    done = run("search", "--image", f"{stored / '2.jpg'}@{place}", "-k", 3, "--json")
    answer = json.loads(done.stdout)
    best = answer["hits"][0]
    assert best["image_id"] == "2.jpg"
    assert best["box"] == patch
    assert best["score"] > 0.98
    assert best["score_kind"] == "exact"
    assert best["uri"] == str(stored / "2.jpg")
    assert len(answer["hits"]) == 3
    assert answer["coverage"]["degraded"] is False
    assert answer["coverage"]["partitions_answered"] == answer["coverage"]["partitions_total"]
    assert {"encode_ms", "fan_out_ms", "merge_ms", "total_ms"} == set(answer["timings"])


def test_texts_and_pictures_mix_and_the_sheet_shows_them(run, stored: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "found.png"
    crop = tmp_path / "crop@1,2,3,4.png"  # a name that looks like a region
    Image.open(stored / "1.jpg").crop((100, 100, 260, 260)).save(crop)
    done = run(
        *("search", "--text", "a car", "--image", crop, "--not-text", "a tree"),
        *("--not-image", f"{stored / '0.jpg'}@0,0,99,99", "-k", 5, "--sheet", sheet),
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [int(line.split()[0]) for line in lines[:5]] == [1, 2, 3, 4, 5]
    assert "1 of 1 partitions" in lines[5] and "DEGRADED" not in lines[5]
    with Image.open(sheet) as picture:
        assert picture.format == "PNG" and picture.width > 800


def test_an_exact_search_and_the_index_agree_on_a_small_collection(run, stored: Path) -> None:
    plain = json.loads(run("search", "--text", "a van", "--json").stdout)["hits"]
    exact = json.loads(run("search", "--text", "a van", "--exact", "--json").stdout)["hits"]
    assert plain == exact


def test_a_filter_limits_the_images_that_are_searched(run, stored: Path) -> None:
    def images(filter: str) -> set[str]:
        done = run(
            *("search", "--text", "a car", "--filter", filter, "-k", 1000),
            *("--ef", 256, "--nprobe", 64, "--oversample", 10, "--json"),
        )
        assert done.returncode == 0, done.stderr
        return {hit["image_id"] for hit in json.loads(done.stdout)["hits"]}

    assert images('image_id startswith "drive 2/"') == {"drive 2/Größe.jpg"}
    assert images('not image_id startswith "drive 2/"') == {f"{n}.jpg" for n in range(4)}
    assert images("exists weather") == set()


def test_a_text_beyond_the_token_limit_is_cut_with_a_warning(run, stored: Path) -> None:
    done = run("search", "--text", "a very long text " * 60)
    assert done.returncode == 0
    assert "warning:" in done.stderr


def test_no_hits_is_an_answer(run, stored: Path) -> None:
    done = run("search", "--text", "a car", "--threshold", 1.0, "--json")
    assert (done.returncode, json.loads(done.stdout)["hits"]) == (0, [])


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--text", "a", "-k", "0"], 1, "K_OUT_OF_RANGE"),
        (["--text", "a", "-k", "1000000"], 1, "K_OUT_OF_RANGE"),
        (["--text", "  "], 1, "TEXT_EMPTY"),
        (["--not-text", "a"], 1, "QUERY_NEGATIVE_ONLY"),
        (["--image", "missing.jpg"], 1, "FILE_UNREADABLE"),
        (["--image", "{photos}/broken.jpg"], 1, "CROP_UNDECODABLE"),
        (["--image", "{photos}/0.jpg@790,0,50,50"], 1, "BOX_OUTSIDE_IMAGE"),
        (["--image", "{photos}/0.jpg@0,0,1,1"], 1, "CROP_TOO_SMALL"),
        (["--text", "a", "--min-coverage", "nan"], 1, "MIN_COVERAGE_OUT_OF_RANGE"),
        (["--text", "a", "--filter", "weather = snow"], 1, "character 11"),
        (["--text", "a", "--filter", "weather ="], 1, "FILTER_INVALID"),
        (["--text", "a", "--ef", "0"], 1, "EF_OUT_OF_RANGE"),
        (["--text", "a", "--nprobe", "70000"], 1, "NPROBE_OUT_OF_RANGE"),
        (["--text", "a", "--oversample", "0.5"], 1, "OVERSAMPLE_OUT_OF_RANGE"),
        ([], 2, "--text or --image"),
        (["--colour", "red"], 2, "--colour"),
    ],
)
def test_bad_queries_are_refused_in_one_line(
    here, stored: Path, arguments: list[str], status: int, said: str
) -> None:
    done = here("search", *(argument.format(photos=stored) for argument in arguments))
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_nobody_there_is_its_own_exit_status(run) -> None:
    done = run("search", "--text", "a", "--timeout", "5", PATCHSEARCH_ADDRESS="127.0.0.1:1")
    assert done.returncode == 3
    assert "patchsearch serve" in done.stderr
