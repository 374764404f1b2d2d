"""`patchsearch evaluate`: the thesis's tables on any labelled photos."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from patchsearch.cli.json_output import print_json
from patchsearch.cli.options import AsJson
from patchsearch.errors import FailedPrecondition, InvalidArgument

if TYPE_CHECKING:
    from evaluation.study.study import StudyPlan

_NEEDED = ("cv2", "faiss", "lmdb", "open_clip", "scipy", "torch")
_FILE_COLUMNS = 160
_NONE = "none"


def evaluate(
    dataset: Annotated[
        Path | None,
        typer.Argument(help="folder with annotations.json (COCO) and the photos in images/"),
    ] = None,
    scenes: Annotated[
        int | None, typer.Option(min=1, help="generate that many street scenes instead")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="of scenes, and of what is drawn")] = 1,
    encoder: Annotated[
        str, typer.Option(help="a bundled model, a directory, ARCHITECTURE:FILE or :TAG")
    ] = "mini",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
    precision: Annotated[
        Literal["float32", "bfloat16", "auto"],
        typer.Option(help="of the encoder; auto: what a measurement finds faster"),
    ] = "float32",
    saliency: Annotated[
        str | None, typer.Option(help="saliency model; the default one where not given")
    ] = None,
    selectors: Annotated[
        list[str] | None,
        typer.Option(help="repeatable, or names with commas; default: all presets"),
    ] = None,
    profiles: Annotated[
        list[str] | None,
        typer.Option(help="index profiles, repeatable, or with commas, or none; default: all"),
    ] = None,
    studies: Annotated[
        list[str] | None,
        typer.Option(help="what is tried beyond the thesis, likewise, or none; default: all"),
    ] = None,
    level: Annotated[
        str | None, typer.Option(help="selector whose patches profiles and studies search")
    ] = None,
    queries_per_class: Annotated[int, typer.Option(min=1, help="crops a class at most")] = 20,
    min_objects: Annotated[
        int, typer.Option(min=2, help="classes with fewer objects are not searched for")
    ] = 5,
    report: Annotated[
        Path | None,
        typer.Option("--report", "--out", help="results and report; default: evaluation-NAME"),
    ] = None,
    work: Annotated[
        Path | None, typer.Option(help="what is kept to go on from; default: REPORT/work")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="a quick look: that many photos only")
    ] = None,
    search: Annotated[
        bool, typer.Option(help="whether to search, or only to measure the choice of patches")
    ] = True,
    curve: Annotated[
        bool, typer.Option(help="whether to measure captured objects against patches a photo")
    ] = True,
    workers: Annotated[
        int | None, typer.Option(min=1, help="processes; default: the cores, 8 at most")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure patch selection and retrieval on labelled photos, as the thesis's chapter 4 does.

    Writes results.json, tables as CSV, and a page with plots and galleries. Run it again to go on
    where it was ended: what is done already is taken from the work folder.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise FailedPrecondition(
            "EXTRA_MISSING",
            f"evaluating needs {', '.join(missing)}: pip install 'patchsearch[evaluate]'",
        )
    if (dataset is None) == (scenes is None):
        raise InvalidArgument("DATASET_MISSING", "give either a folder DATASET or --scenes N")
    from evaluation.study.process import prepare_process

    prepare_process()
    from evaluation.study.embedding import EncoderChoice
    from evaluation.study.retrieval import RetrievalOptions
    from evaluation.study.selector_choice import chosen_selectors
    from evaluation.study.study import Scenes, StudyPlan

    out = report or Path(
        f"evaluation-scenes-{scenes}-{seed}"
        if dataset is None
        else f"evaluation-{(dataset if dataset.is_dir() else dataset.parent).resolve().name}"
    )
    asked: dict[str, Any] = {}
    if profiles:
        asked["profiles"] = _names(profiles)
    if studies:
        asked["studies"] = _names(studies)
    chosen = chosen_selectors(_names(selectors or []))
    if level is not None and level not in [one.name for one in chosen]:
        raise InvalidArgument(
            "STUDY_INVALID",
            f"--level {level} is none of the selectors {', '.join(one.name for one in chosen)}",
        )
    plan = StudyPlan(
        source=Scenes(scenes or 0, seed) if dataset is None else dataset,
        selectors=chosen,
        report=out,
        work=work or out / "work",
        encoder=EncoderChoice(encoder, device, precision),
        saliency=saliency,
        retrieval=RetrievalOptions(
            queries_per_class=queries_per_class,
            min_objects=min_objects,
            level=level,
            seed=seed,
            **asked,
        )
        if search
        else None,
        limit=limit,
        curve=curve,
        seed=seed,
        workers=workers or min(os.cpu_count() or 1, 8),
    )
    results = _run(plan)
    if as_json:
        print_json(results)
        return
    # Where nobody looks, lines may be as long as they are.
    console = Console() if sys.stdout.isatty() else Console(width=_FILE_COLUMNS)
    _tell(results, console)
    console.print(f"report: {out / 'index.html'}", markup=False, highlight=False, soft_wrap=True)


def _names(given: Sequence[str]) -> tuple[str, ...]:
    """Names from options that are repeated, or hold several with commas; `none` is no name."""
    names = [name.strip() for value in given for name in value.split(",")]
    return tuple(dict.fromkeys(name for name in names if name and name != _NONE))


def _run(plan: StudyPlan) -> dict[str, Any]:
    from evaluation.study.study import run_study

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("models", total=1.0)

        def move(stage: str, share: float) -> None:
            bar.update(task, description=stage, completed=share)

        try:
            return run_study(plan, move)
        except KeyboardInterrupt:
            bar.console.print("ended; run it again to go on from here", markup=False)
            raise typer.Exit(130) from None


def _tell(results: dict[str, Any], console: Console) -> None:
    about = results["dataset"]
    console.print(
        f"{about['name']}: {about['photos']} photos, {about['objects_counted']} of"
        f" {about['objects']} objects counted; encoder {results['encoder']['name']}, saliency"
        f" {results['saliency']['name']}",
        markup=False,
        highlight=False,
    )
    for kind, count in about["problems"].items():
        named = ", ".join(about["problem_examples"].get(kind, ()))
        console.print(f"  {kind}: {count} ({named})", markup=False, highlight=False)
    table = Table("selector", "patches a photo", "captured", title="Objects captured")
    for row in results["selection"]:
        table.add_row(row["selector"], f"{row['patches_per_image']:.1f}", _share(row["mean"]))
    console.print(table)
    if results.get("search"):
        table = Table("level", "query", "n", "precision@16", "std", title="Searches")
        for row in results["search"]:
            figure = row["precision_at_16"]
            table.add_row(
                row["level"],
                row["query"],
                str(row["n"]),
                _share(figure["mean"]),
                _share(figure["std"]),
            )
        console.print(table)
    for note in results["notes"]:
        console.print(note, markup=False, highlight=False)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
