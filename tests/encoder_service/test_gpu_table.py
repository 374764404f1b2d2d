"""The GPU benchmark, as far as a machine without a GPU goes."""

from __future__ import annotations

from datetime import date

import pytest
import torch

from benchmarks.encoder import EncoderFigures, Rate
from benchmarks.gpu import HEADING, add_row, main, markdown_row


def figures(crops: float) -> EncoderFigures:
    return EncoderFigures(
        model="ViT-B-16:/tmp/random.safetensors",
        device="cuda:0",
        precision="bfloat16",
        selector="multisize-filtered",
        batch=256,
        callers=12,
        bare_crops=Rate.of([9000.0, 10000.0, 11000.0]),
        crops=Rate.of([crops]),
        patches=Rate.of([3500.0]),
        photos=Rate.of([100.0]),
        patches_a_photo=35.0,
        photo_size=(1920, 1080),
        machine="16 processors",
    )


def test_rows_are_added_to_their_table():
    rows = [markdown_row(figures(rate), "H200", date(2026, 11, 21)) for rate in (8000.0, 9000.0)]
    assert "| 0.80 |" in rows[0] and "| 0.35 |" in rows[0]
    first = add_row("# Results\n\nSome.\n", rows[0])
    assert first.startswith("# Results\n\nSome.\n\n" + HEADING)
    both = add_row(first + "\n## Later\n\n| a |\n", rows[1])
    assert both.index(rows[0]) < both.index(rows[1]) < both.index("## Later")
    assert both.count(HEADING) == 1 and both.endswith("\n## Later\n\n| a |\n")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_it_says_so(capsys):
    assert main([]) == 1
    assert "needs a CUDA device" in capsys.readouterr().err
