"""How much of a GPU the encoder uses, with ViT-B-16: `python -m benchmarks.gpu` (make gpu-bench).

Random weights serve: speed does not depend on what a network has learnt. The reference is
open_clip's own model in bfloat16, at the same batch, fed with a batch that lies on the GPU already.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import torch

from benchmarks.encoder import EncoderFigures, Work, measure, one_rate

ARCHITECTURE = "ViT-B-16"
RESULTS = Path(__file__).parent / "RESULTS.md"
HEADING = "## Encoder on a GPU"
_HEADER = (
    "| date | GPU | model | batch | callers | open_clip crops/s | EncodeCrops crops/s | ratio "
    "| SelectAndEncode patches/s | photos/s | ratio |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|\n"
)


def bare_gpu(batch: int, precision: str) -> Work:
    """open_clip's model alone, in the faster of its two kinds of bfloat16."""
    kinds = ("bf16", "pure_bf16") if precision == "bfloat16" else ("fp32",)
    models = [_open_clip(kind, batch) for kind in kinds]
    return max(models, key=lambda work: one_rate(work, seconds=1.0))


def _open_clip(precision: str, batch: int) -> Work:
    import open_clip

    network = open_clip.create_model(ARCHITECTURE, precision=precision, device="cuda")
    network.eval().requires_grad_(False)
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    crops = torch.randn(batch, 3, 224, 224, device="cuda", dtype=dtype)

    def embed() -> int:
        with torch.inference_mode():
            network.encode_image(crops, normalize=True)
        torch.cuda.synchronize()
        return batch

    for _ in range(5):
        embed()
    return embed


def write_checkpoint(folder: Path) -> Path:
    """Random weights of the architecture, as a file that the encoder loads."""
    import open_clip
    from safetensors.torch import save_file

    torch.manual_seed(0)
    path = folder / "random.safetensors"
    weights = open_clip.create_model(ARCHITECTURE, precision="fp32").state_dict()
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
    return path


def markdown_row(figures: EncoderFigures, gpu: str, today: date) -> str:
    """One row of the table in RESULTS.md."""
    cells = [
        today.isoformat(),
        f"{gpu}, {figures.machine}",
        f"{ARCHITECTURE}, {figures.precision}",
        str(figures.batch),
        str(figures.callers),
        f"{figures.bare_crops.median:.0f}",
        f"{figures.crops.median:.0f} ({figures.crops.least:.0f}-{figures.crops.most:.0f})",
        f"{figures.crops_ratio:.2f}",
        f"{figures.patches.median:.0f} ({figures.patches.least:.0f}-{figures.patches.most:.0f})",
        f"{figures.photos.median:.1f}",
        f"{figures.patches_ratio:.2f}",
    ]
    return f"| {' | '.join(cells)} |\n"


def add_row(text: str, row: str) -> str:
    """RESULTS.md with the row at the end of its table, which is begun if it is not there."""
    if HEADING not in text:
        return f"{text.rstrip()}\n\n{HEADING}\n\n{_HEADER}{row}".lstrip()
    before, after = text.split(HEADING, 1)
    section, mark, rest = after.partition("\n## ")
    lines = section.rstrip("\n").split("\n")
    last = max(n for n, line in enumerate(lines) if line.startswith("|"))
    lines.insert(last + 1, row.rstrip("\n"))
    return before + HEADING + "\n".join(lines) + "\n" + mark + rest


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints a row; returns the exit status: 1 without a CUDA device."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--batch", type=int, default=256, help="crops a call and a batch")
    parser.add_argument("--callers", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=5.0, help="of every round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--selector", default="multisize-filtered")
    parser.add_argument("--crop-side", type=int, default=224, help="of the JPEG crops, in pixels")
    parser.add_argument("--photo", default="1920x1080", help="WIDTHxHEIGHT")
    parser.add_argument("--write", action="store_true", help=f"add the row to {RESULTS.name}")
    options = parser.parse_args(argv)
    if not torch.cuda.is_available():
        print("benchmarks.gpu needs a CUDA device, and this machine has none", file=sys.stderr)
        return 1
    width, height = (int(side) for side in options.photo.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        path = write_checkpoint(Path(folder))
        figures = measure(
            f"{ARCHITECTURE}:{path}",
            ["--device", "cuda", "--selector", options.selector, "--workers", "48"],
            bare_gpu,
            batch=options.batch,
            callers=options.callers,
            seconds=options.seconds,
            rounds=options.rounds,
            photo_size=(width, height),
            crop_side=options.crop_side,
        )
    row = markdown_row(figures, torch.cuda.get_device_name(), date.today())
    print(_HEADER + row, end="")
    if options.write:
        text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
        RESULTS.write_text(add_row(text, row), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
