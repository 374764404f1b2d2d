"""`python -m evaluation.demo`: photos in, every other place that shows it out."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from rich.console import Console

from evaluation.demo.photo_demo import run_photos
from evaluation.demo.scene_demo import run_scenes
from patchsearch.errors import PatchsearchError


def main(arguments: list[str] | None = None) -> int:
    """Runs the demo; 0 when it went through, 1 with one line on standard error when it did not."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="where results go")
    parser.add_argument("--photos", type=Path, help="a folder of your own photographs")
    parser.add_argument("--encoder", default="mini", help="as in `patchsearch serve` (mini)")
    parser.add_argument("--scenes", type=int, default=120, help="generated scenes (120)")
    parser.add_argument("--query-scenes", type=int, default=110, help="to cut queries from (110)")
    parser.add_argument("--seed", type=int, default=1, help="of the generated scenes (1)")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING)
    console = Console()
    try:
        if chosen.photos:
            run_photos(chosen.photos, chosen.out, chosen.encoder, console)
        else:
            run_scenes(
                chosen.out,
                chosen.encoder,
                chosen.scenes,
                chosen.query_scenes,
                chosen.seed,
                console,
            )
    except PatchsearchError as error:
        Console(stderr=True).print(f"demo: {error}", style="red", markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
