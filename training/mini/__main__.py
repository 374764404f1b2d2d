"""`python -m training.mini`: make the bundled `mini` encoder, step by step."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: spinning starves shared cores

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)

BUNDLED = Path(__file__).parents[2] / "encoder_service" / "bundled" / "mini"

SHARED = Path(os.environ.get("PATCHSEARCH_DATA", Path(__file__).parents[3] / "shared"))

Shared = Annotated[Path, typer.Option(help="folder with data/ and models/ (PATCHSEARCH_DATA)")]

Folder = Annotated[Path, typer.Argument(help="working folder, outside the repository")]


@app.command("build-data")
def build_data(folder: Folder, scenes: int = 4000, workers: int = 2) -> None:
    """Generate street scenes and cut them into training patches (FOLDER/patches)."""
    from training.mini.data import build

    build(folder / "patches", scenes, workers)


@app.command("build-photos")
def build_photos(folder: Folder, shared: Shared = SHARED, seed: int = 0) -> None:
    """Cut views of the photos that are not held out, with what the teachers say of them
    (FOLDER/views)."""
    from training.mini.views import build_views

    build_views(shared / "data", shared / "models" / "mobilenet", folder / "views", seed)


@app.command()
def train(
    folder: Folder,
    backbone: Annotated[Path, typer.Option(help="file of `python -m training.mobilenet`")],
    patches: Annotated[Path | None, typer.Option(help="instead of FOLDER/patches")] = None,
    shared: Shared = SHARED,
    minutes: float = 60.0,
    seed: int = 0,
    threads: int = 2,
) -> None:
    """Train on patches and views into FOLDER/run for so many minutes, resuming what is there."""
    import torch

    from training.mini.sources import training_data
    from training.mini.train import Recipe
    from training.mini.train import train as run

    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    (folder / "run").mkdir(parents=True, exist_ok=True)
    data = training_data(patches or folder / "patches", folder / "views", shared, backbone)
    run(data, folder / "run", Recipe(minutes=minutes, seed=seed))


@app.command()
def measure(
    model: Annotated[Path, typer.Argument(help="folder of the model")] = BUNDLED,
    scenes: int = 120,
    selector: Annotated[str, typer.Option(help="a selector's name, or `grid`")] = "grid",
) -> None:
    """Print precision at 16 on held-out scenes."""
    from training.mini.measure import Encoder, collect, query_crops, table
    from training.mini.measure import measure as run
    from training.mini.windows import by_name

    collection = collect(range(scenes), by_name(selector))
    typer.echo(f"{len(collection.boxes)} patches of {scenes} scenes, selector {selector}")
    typer.echo(table(run(Encoder(model), collection, query_crops())))


@app.command("measure-photos")
def measure_photos(
    model: Annotated[Path, typer.Argument(help="folder of the model")] = BUNDLED,
    shared: Shared = SHARED,
    teachers: Annotated[bool, typer.Option(help="also the teachers' rows")] = True,
) -> None:
    """Print how texts and crops find objects of real photos, held out and all."""
    from training.mini.measure_photos import report

    typer.echo(report(model, shared, teachers))


@app.command()
def export(folder: Folder, target: Path = BUNDLED) -> None:
    """Copy the averaged weights of FOLDER/run, as float16, to where the product finds them."""
    import shutil

    from training.mini.model import CONFIG_NAME, WEIGHTS_NAME

    target.mkdir(parents=True, exist_ok=True)
    names = (CONFIG_NAME, WEIGHTS_NAME)
    for name in names:
        shutil.copyfile(folder / "run" / name, target / f"{name}.partial")
    for name in names:  # whole files only: somebody may be opening the model
        (target / f"{name}.partial").replace(target / name)
    typer.echo(f"wrote {target}")


if __name__ == "__main__":
    app()
