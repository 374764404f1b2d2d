"""`python -m training.mobilenet`: ImageNet's MobileNetV2 as a warm start in timm's shape."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: spinning starves shared cores

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)


@app.command()
def convert(
    tflite: Annotated[Path, typer.Argument(help="tf2_mobilenet_v2_1.0_224_ptq.tflite")],
    photos: Annotated[Path, typer.Argument(help="folder of JPEG photos, searched whole")],
    target: Annotated[Path, typer.Argument(help="safetensors file to write")],
    count: int = 256,
) -> None:
    """Write the backbone, and print how often it agrees with the TFLite net."""
    from training.mobilenet.agreement import agreement, read
    from training.mobilenet.convert import convert as run
    from training.mobilenet.convert import save_backbone

    paths = sorted(photos.rglob("*.jpg"))[:count]
    pictures = [read(path) for path in paths]
    net = run(tflite, pictures)
    save_backbone(net, target)
    typer.echo(f"wrote {target}")
    typer.echo(agreement(net, tflite, pictures))


if __name__ == "__main__":
    app()
