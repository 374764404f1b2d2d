"""`patchsearch judge`: verdicts in a file, between one search and the next."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from patchsearch.cli.json_output import print_json
from patchsearch.cli.options import AsJson
from patchsearch.errors import InvalidArgument
from patchsearch.exports.items import DEFAULT_LABEL, SetItem, Verdict
from patchsearch.exports.set_file import items_of_answer, read_set, write_set
from patchsearch.feedback import precision


def judge(
    file: Annotated[
        Path,
        typer.Argument(help="the set: .csv or .jsonl; made where it is not there and --add is"),
    ],
    add: Annotated[
        list[str] | None,
        typer.Option(help="add the hits of an answer of `search --json`, - reads standard input"),
    ] = None,
    label: Annotated[str, typer.Option(help="class of what is added")] = DEFAULT_LABEL,
    yes: Annotated[
        list[str] | None, typer.Option(help="accept these rows: 1,3,5-9, counted from 1, or all")
    ] = None,
    no: Annotated[list[str] | None, typer.Option(help="reject these rows")] = None,
    skip: Annotated[list[str] | None, typer.Option(help="leave these rows open")] = None,
    clear: Annotated[
        list[str] | None, typer.Option(help="take back what was said of these rows")
    ] = None,
    rest: Annotated[
        Literal["yes", "no", "skip"] | None,
        typer.Option(help="what to say of every row that is still unjudged"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say yes or no to the rows of a set, by number, or by editing its column `verdict`.

    Without --yes, --no and so on it tells how the set stands. Then search again with --judged FILE,
    and export with `patchsearch export FILE`.
    """
    items = read_set(file) if file.exists() or not add else []
    added = 0
    for place in add or ():
        new = _not_in(items, items_of_answer(_document(place), label=label))
        added += len(new)
        items += new
    said = ((yes, Verdict.YES), (no, Verdict.NO), (skip, Verdict.SKIP), (clear, Verdict.UNJUDGED))
    judged = 0
    for rows, verdict in said:
        for row in _rows(rows or (), len(items)):
            items[row] = replace(items[row], verdict=verdict)
            judged += 1
    if rest is not None:
        open_rows = [n for n, item in enumerate(items) if item.verdict is Verdict.UNJUDGED]
        for row in open_rows:
            items[row] = replace(items[row], verdict=Verdict(rest))
        judged += len(open_rows)
    if added or judged or not file.exists():
        write_set(items, file)
    if as_json:
        print_json({"file": str(file), "added": added, "judged": judged, **_tally(items)})
    else:
        _tell(file, added, items)


def _tally(items: Sequence[SetItem]) -> dict[str, Any]:
    count = {verdict: sum(item.verdict is verdict for item in items) for verdict in Verdict}
    return {
        "items": len(items),
        "yes": count[Verdict.YES],
        "no": count[Verdict.NO],
        "skip": count[Verdict.SKIP],
        "unjudged": count[Verdict.UNJUDGED],
        "precision": precision(items),
    }


def _tell(file: Path, added: int, items: Sequence[SetItem]) -> None:
    tally = _tally(items)
    said = f", {added} of them new" if added else ""
    share = tally["precision"]
    typer.echo(
        f"{file}: {tally['items']} patches{said}; {tally['yes']} yes, {tally['no']} no, "
        f"{tally['skip']} skipped, {tally['unjudged']} unjudged"
        f"{'' if share is None else f'; precision {share:.2f}'}"
    )


def _document(place: str) -> Any:
    try:
        text = sys.stdin.read() if place == "-" else Path(place).read_text(encoding="utf-8")
        return json.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidArgument(
            "FILE_UNREADABLE",
            f"cannot read an answer from {place}: {error}; write it with `search --json`",
        ) from error


def _not_in(items: Iterable[SetItem], new: Iterable[SetItem]) -> list[SetItem]:
    known = {(item.image_id, item.box) for item in items}
    return [item for item in new if (item.image_id, item.box) not in known]


def _rows(texts: Iterable[str], count: int) -> list[int]:
    """Indices from texts such as `1,3,5-9` or `all`; raises InvalidArgument ROWS_INVALID."""
    rows: list[int] = []
    for part in (part.strip() for text in texts for part in text.split(",")):
        first, dash, last = part.partition("-")
        if part == "all":
            rows += range(count)
        elif first.isdecimal() and (last.isdecimal() or not dash):
            start, stop = int(first), int(last or first)
            if not 1 <= start <= stop <= count:
                raise InvalidArgument(
                    "ROWS_INVALID", f"there is no row {part} in a set of {count}; rows start at 1"
                )
            rows += range(start - 1, stop)
        else:
            raise InvalidArgument(
                "ROWS_INVALID", f"{part!r} names no rows; write them like 1,3,5-9, or all"
            )
    return rows
