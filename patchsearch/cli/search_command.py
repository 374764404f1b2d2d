"""`patchsearch search`: any mix of texts and pictures, towards and away."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

import typer

from patchsearch.cli.connection import calls_server
from patchsearch.cli.json_output import print_json
from patchsearch.cli.options import DEFAULT_ADDRESS, Address, AsJson, TimeoutS
from patchsearch.client import Client
from patchsearch.errors import InvalidArgument
from patchsearch.exports.set_file import read_set
from patchsearch.feedback import feedback_terms, unjudged
from patchsearch.geometry import Box
from patchsearch.query import Crop, PatchRef, Region, SearchOptions, Term, Text
from patchsearch.results import Hit, SearchResult
from patchsearch.wire.requests import MAX_K
from patchsearch.wire.security import ChannelSecurity

_REGION = re.compile(r"(?P<path>.+)@(?P<box>-?\d+,-?\d+,-?\d+,-?\d+)")


@calls_server
def search(
    text: Annotated[list[str] | None, typer.Option(help="what to look for, in words")] = None,
    image: Annotated[
        list[str] | None, typer.Option(help="a picture of it: crop.jpg, or photo.jpg@x,y,w,h")
    ] = None,
    not_text: Annotated[list[str] | None, typer.Option(help="push away from these words")] = None,
    not_image: Annotated[
        list[str] | None, typer.Option(help="push away from this picture (like --image)")
    ] = None,
    push: Annotated[
        float, typer.Option(min=0.01, help="how much each --not-... counts against 1")
    ] = 0.5,
    judged: Annotated[
        Path | None,
        typer.Option(
            help="a set (`patchsearch judge`): towards what it accepts, away from the rest"
        ),
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="with --judged: leave out what was judged already")
    ] = False,
    k: Annotated[int, typer.Option("-k", help="hits to find, 1 to 1000")] = 16,
    threshold: Annotated[
        float | None, typer.Option(help="leave out hits with a cosine below this")
    ] = None,
    min_coverage: Annotated[
        float | None, typer.Option(help="refuse when less than this share answered, 0 to 1")
    ] = None,
    filter: Annotated[
        str | None,
        typer.Option(help="""search images that meet this: 'weather = "snow" and speed >= 10'"""),
    ] = None,
    exact: Annotated[bool, typer.Option(help="scan every vector instead of the index")] = False,
    oversample: Annotated[
        float | None, typer.Option(help="candidates read for each hit, 1 to 100")
    ] = None,
    ef: Annotated[int | None, typer.Option(help="beam width of graph indexes, 1 to 4096")] = None,
    nprobe: Annotated[
        int | None, typer.Option(help="cells that inverted-file indexes look into, 1 to 65536")
    ] = None,
    as_json: AsJson = False,
    sheet: Annotated[Path | None, typer.Option(help="draw the hits into this PNG")] = None,
    timeout_s: TimeoutS = 30.0,
    address: Address = DEFAULT_ADDRESS,
    *,
    security: ChannelSecurity,
) -> None:
    """Find the patches nearest to a mix of texts and pictures.

    Options repeat: the query is the mean of all of them. No hits is an answer, exit status 0.
    With --judged, all that was asked counts as much as one accepted patch.
    """
    terms: list[Term] = [Text(words) for words in text or ()]
    terms += [_picture(argument, 1.0) for argument in image or ()]
    terms += [Text(words, -push) for words in not_text or ()]
    terms += [_picture(argument, -push) for argument in not_image or ()]
    if not terms and judged is None:
        raise typer.BadParameter("give at least one --text or --image, or --judged")
    if new and judged is None:
        raise typer.BadParameter("--new needs --judged")
    seen = [] if judged is None else read_set(judged)
    terms = feedback_terms(terms, seen)
    options = SearchOptions(k=min(k + len(seen), MAX_K) if new and 0 < k <= MAX_K else k)
    options["exact"] = exact
    if threshold is not None:
        options["score_threshold"] = threshold
    if min_coverage is not None:
        options["min_coverage"] = min_coverage
    if filter is not None:
        options["filter"] = filter
    if oversample is not None:
        options["oversample"] = oversample
    if ef is not None:
        options["ef"] = ef
    if nprobe is not None:
        options["nprobe"] = nprobe
    with Client(address, timeout_s=timeout_s, security=security) as client:
        result = client.search(*terms, **options)
    if new:
        result = replace(result, hits=tuple(unjudged(result, seen)[:k]))
    if sheet is not None:
        _draw(sheet, terms, result)
    if as_json:
        print_json(result)
        return
    _print(result)
    if sheet is not None:
        typer.echo(f"contact sheet: {sheet}")


def _picture(argument: str, weight: float) -> Crop | Region:
    """A picture argument as a term; a file whose own name ends like a box is taken as a file."""
    match = _REGION.fullmatch(argument)
    if match is None or Path(argument).exists():
        return Crop(Path(argument), weight)
    x, y, w, h = (int(part) for part in match["box"].split(","))
    return Region(Path(match["path"]), Box(x, y, w, h), weight)


def _print(result: SearchResult) -> None:
    for warning in result.warnings:
        typer.echo(f"warning: {warning}", err=True)
    for rank, hit in enumerate(result, 1):
        box = hit.box
        # An id may hold anything, line breaks too: one hit stays one line.
        name = hit.image_id if hit.image_id.isprintable() else repr(hit.image_id)
        typer.echo(f"{rank:3d}  {hit.score:.4f}  {name}  {box.x},{box.y},{box.w},{box.h}")
    coverage = result.coverage
    partitions = f"{coverage.partitions_answered} of {coverage.partitions_total} partitions"
    typer.echo(
        f"{len(result)} hits in {result.timings.total_ms:.1f} ms from {coverage.patches_covered}"
        f" patches, {partitions}{', DEGRADED' if coverage.degraded else ''}"
    )


def _draw(path: Path, terms: list[Term], result: SearchResult) -> None:
    from patchsearch.sheet import SheetHit, SheetQuery, contact_sheet

    queries = []
    for term in terms:
        avoided = term.weight < 0
        if isinstance(term, PatchRef):
            queries.append(SheetQuery(None, caption=term.image_id, is_avoided=avoided))
        elif isinstance(term, Text):
            queries.append(SheetQuery(None, caption=term.text, is_avoided=avoided))
        elif isinstance(term, Crop):
            queries.append(SheetQuery(term.pixels, is_avoided=avoided))
        elif isinstance(term, Region):
            queries.append(SheetQuery(term.pixels, term.box, is_avoided=avoided))
    hits = [SheetHit(_local(hit), hit.box, hit.score, hit.image_id) for hit in result]
    try:
        contact_sheet(f"{len(hits)} nearest patches", queries, hits).save(path)
    except (OSError, ValueError) as error:
        raise InvalidArgument(
            "FILE_UNWRITABLE", f"cannot write {path}: {error}; name a .png file that can be written"
        ) from error


def _local(hit: Hit) -> str:
    parts = urlsplit(hit.uri)
    return unquote(parts.path) if parts.scheme == "file" else hit.uri
