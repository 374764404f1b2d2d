"""`python -m training.simplenet`: make the bundled saliency model, step by step."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: spinning starves shared cores

import time
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)

BUNDLED = Path(__file__).parents[2] / "patch_selection" / "saliency" / "bundled"

Folder = Annotated[Path, typer.Argument(help="working folder, outside the repository")]
Data = Annotated[Path, typer.Option(help="folder with a folder for every source of photos")]
Teacher = Annotated[Path, typer.Option(help="the fixation model, saliency_map.tflite")]


@app.command("build-data")
def build_data(
    folder: Folder,
    data: Data,
    teacher: Teacher,
    scenes: int = 350,
    crops: Annotated[int, typer.Option(help="squares of a photo")] = 3,
) -> None:
    """Run the teacher over photos, squares of them and scenes (FOLDER/examples)."""
    from training.simplenet.examples import build, plan
    from training.simplenet.teacher import Teacher as Model

    begin = time.monotonic()
    build(
        data,
        folder / "examples",
        Model(teacher),
        plan(data, scenes, crops),
        lambda line: typer.echo(f"{time.monotonic() - begin:7.0f} s  {line}"),
    )


@app.command()
def distil(
    folder: Folder,
    backbone: Annotated[
        Path | None, typer.Option(help="tensors to start the encoder from (training.mobilenet)")
    ] = None,
    minutes: float = 40.0,
    seed: int = 0,
    threads: int = 2,
) -> None:
    """Train on FOLDER/examples into FOLDER/distilled for so many minutes, resuming what is there:
    where people look."""
    from training.simplenet.train import Recipe
    from training.simplenet.train import distil as run

    _set_up(threads)
    recipe = Recipe(minutes=minutes, seed=seed)
    run(folder / "examples", folder / "distilled", backbone, recipe)


@app.command()
def refine(
    folder: Folder,
    data: Data,
    weights: Annotated[
        Path | None, typer.Option(help="to start from; default: those in FOLDER/distilled")
    ] = None,
    scenes: int = 120,
    minutes: float = 40.0,
    rate: float = 1e-3,
    seed: int = 0,
    threads: int = 2,
) -> None:
    """Train on what is annotated into FOLDER/run for so many minutes, resuming what is there."""
    from training.simplenet.train import WEIGHTS_NAME, Recipe
    from training.simplenet.train import refine as run
    from training.simplenet.views import annotated_pictures
    from training.simplenet.wanted import Mixture

    _set_up(threads)
    run(
        annotated_pictures(data, scenes),
        weights or folder / "distilled" / WEIGHTS_NAME,
        folder / "run",
        Mixture(),
        Recipe(minutes=minutes, rate=rate, seed=seed),
    )


def _set_up(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)


@app.command()
def compare(
    data: Data,
    teacher: Teacher,
    model: Annotated[
        list[str] | None, typer.Option(help="saliency model, repeatable; default: the bundled ones")
    ] = None,
    limit: Annotated[int, typer.Option(help="photos of each source")] = 20,
) -> None:
    """Print how models agree with the teacher, and what selectors capture, on held-out photos."""
    from patch_selection import SELECTORS
    from patch_selection.saliency import SALIENCY_MODELS, load_raw_saliency, load_saliency
    from training.simplenet.compare import agreement, captures

    truth, _ = load_raw_saliency(f"litert:{teacher}#Sum")
    for name in model or SALIENCY_MODELS:
        raw, _ = load_raw_saliency(name)
        found = agreement(raw, truth, data, limit)
        typer.echo(
            f"{name}: CC {found.correlation:.3f}, KL {found.divergence:.3f}, NSS {found.nss:.3f}"
        )
        for row in captures(load_saliency(name), data / "gtsdb", list(SELECTORS)):
            typer.echo(
                f"  {row.selector:24} {row.captured:.3f} of {row.objects} objects, "
                f"{row.patches:.1f} patches a photo"
            )


@app.command()
def export(folder: Folder, target: Path = BUNDLED / "simplenet-mini.safetensors") -> None:
    """Copy the averaged weights of FOLDER/run, calibrated before, into the product."""
    from patch_selection.saliency.simplenet.weights import read_weights, write_weights
    from training.simplenet.train import WEIGHTS_NAME

    target.parent.mkdir(parents=True, exist_ok=True)
    write_weights(target, read_weights(folder / "run" / WEIGHTS_NAME))
    typer.echo(f"wrote {target}")


if __name__ == "__main__":
    app()
