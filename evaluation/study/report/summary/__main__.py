"""Writes the summary of finished studies to standard output, and its pictures beside it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from evaluation.study.report.summary.document import Study, summary_text
from evaluation.study.report.summary.pictures import draw_pictures
from patchsearch.errors import NotFound, PatchsearchError


def main(arguments: list[str] | None = None) -> int:
    """0 when the summary was written, 1 with one line on standard error when it was not."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.study.report.summary", description=__doc__
    )
    parser.add_argument(
        "studies",
        nargs="+",
        metavar="DIR",
        help="report folder of patchsearch evaluate; DIR=COMMAND says with what it was made",
    )
    parser.add_argument(
        "--images", type=Path, help="folder for the pictures; without it there are none"
    )
    parser.add_argument(
        "--relative", default="", help="what pictures' names begin with in the text (images folder)"
    )
    chosen = parser.parse_args(arguments)
    try:
        studies = [_read(told) for told in chosen.studies]
    except PatchsearchError as error:
        print(f"summary: {error}", file=sys.stderr)
        return 1
    if chosen.images is not None:
        chosen.images.mkdir(parents=True, exist_ok=True)
        before = chosen.relative or chosen.images.name
        for study in studies:
            study.pictures.extend(draw_pictures(study, chosen.images, before))
    sys.stdout.write(summary_text(studies))
    return 0


def _read(told: str) -> Study:
    place, _, command = told.partition("=")
    path = Path(place) / "results.json"
    try:
        results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NotFound(
            "RESULTS_MISSING",
            f"cannot read {path} ({error}); give the report folder of a finished study",
        ) from error
    return Study(Path(place), results, command)


if __name__ == "__main__":
    sys.exit(main())
