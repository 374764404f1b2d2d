"""The pieces of an HTML page: tables, figures, key figures. All text is escaped here."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from evaluation.study.report.style import STYLE


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell. `share`, 0..1, draws a bar behind the text; `best` makes it bold."""

    text: str
    share: float | None = None
    best: bool = False


Line: TypeAlias = tuple[Cell | str, ...]
"""The cells of one row."""


@dataclass(frozen=True, slots=True)
class DataTable:
    """A table: the first `labels` columns are words, the others numbers.

    A rule is drawn above a row whose first cell is not empty, where the first column groups rows.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[Line, ...]
    labels: int = 1


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture beside the page. `dark`: the same for a dark page; `alt` says what it shows."""

    file_name: str
    alt: str
    caption: str
    dark: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page with a heading; `anchor` is what links name."""

    anchor: str
    title: str
    body: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Adds a paragraph."""
        self.body.append(f"<p>{html.escape(text)}</p>")

    def note(self, text: str) -> None:
        """Adds a paragraph in small, soft letters."""
        self.body.append(f'<p class="note">{html.escape(text)}</p>')

    def head(self, text: str) -> None:
        """Adds a smaller heading."""
        self.body.append(f"<h3>{html.escape(text)}</h3>")

    def table(self, table: DataTable, *, folded: str = "") -> None:
        """Adds a table, behind a line to click on where `folded` has words for it."""
        inner = table_html(table)
        if folded:
            summary = f"<summary>{html.escape(folded)}</summary>"
            inner = f"<details>{summary}{inner}</details>"
        self.body.append(inner)

    def pictures(self, pictures: Sequence[Picture]) -> None:
        """Adds figures, side by side where there is room."""
        if pictures:
            inner = "".join(picture_html(picture) for picture in pictures)
            self.body.append(f'<div class="pictures">{inner}</div>' if len(pictures) > 1 else inner)

    def terms(self, lines: Iterable[tuple[str, str]]) -> None:
        """Adds a list of names with what they are."""
        items = "".join(
            f"<li><strong>{html.escape(name)}</strong>: {html.escape(what)}</li>"
            for name, what in lines
        )
        self.body.append(f"<ul>{items}</ul>" if items else "")


def table_html(table: DataTable) -> str:
    """The table, in a box that scrolls sideways where it is too wide."""
    head = "".join(
        f'<th scope="col"{_text_class(i, table.labels)}>{html.escape(name)}</th>'
        for i, name in enumerate(table.header)
    )
    grouped = table.labels > 1 and any(not _cell(row[0]).text for row in table.rows)
    lines = []
    for row in table.rows:
        opens = ' class="first"' if grouped and _cell(row[0]).text else ""
        cells = "".join(_cell_html(_cell(cell), i, table.labels) for i, cell in enumerate(row))
        lines.append(f"<tr{opens}>{cells}</tr>")
    caption = f"<caption>{html.escape(table.caption)}</caption>" if table.caption else ""
    return (
        f'<div class="wide"><table>{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def picture_html(picture: Picture) -> str:
    """The figure; clicking it opens the file."""
    name = html.escape(picture.file_name, quote=True)
    alt = html.escape(picture.alt, quote=True)
    image = f'<img src="{name}" alt="{alt}" loading="lazy">'
    if picture.dark:
        dark = html.escape(picture.dark, quote=True)
        source = f'<source srcset="{dark}" media="(prefers-color-scheme: dark)">'
        image = f"<picture>{source}{image}</picture>"
    caption = f"<figcaption>{html.escape(picture.caption)}</figcaption>" if picture.caption else ""
    return f'<figure><a href="{name}">{image}</a>{caption}</figure>'


def page_html(
    title: str, lead: str, tiles: Sequence[tuple[str, str]], sections: Sequence[Section], foot: str
) -> str:
    """The whole page. `tiles`: key figures, each a number and what it is."""
    told = html.escape(title)
    links = "".join(
        f'<a href="#{section.anchor}">{html.escape(section.title)}</a>' for section in sections
    )
    keys = "".join(
        f"<li><b>{html.escape(number)}</b><span>{html.escape(what)}</span></li>"
        for number, what in tiles
    )
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{told}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
        f"<header><h1>{told}</h1><p>{html.escape(lead)}</p><nav>{links}</nav></header>\n<main>",
        f'<ul class="tiles">{keys}</ul>' if keys else "",
    ]
    for section in sections:
        parts.append(
            f'<section id="{section.anchor}"><h2>{html.escape(section.title)}</h2>'
            + "\n".join(section.body)
            + "</section>"
        )
    parts.append(f"</main>\n<footer><p>{html.escape(foot)}</p></footer>\n</body>\n</html>")
    return "\n".join(part for part in parts if part) + "\n"


def _cell(cell: Cell | str) -> Cell:
    return cell if isinstance(cell, Cell) else Cell(cell)


def _cell_html(cell: Cell, column: int, labels: int) -> str:
    text = html.escape(cell.text)
    if column < labels:
        return f'<th scope="row" class="text">{text}</th>' if text else '<td class="text"></td>'
    names = [name for name, on in (("share", cell.share is not None), ("best", cell.best)) if on]
    kind = f' class="{" ".join(names)}"' if names else ""
    bar = f' style="--v:{100 * cell.share:.1f}%"' if cell.share is not None else ""
    return f"<td{kind}{bar}>{text}</td>"


def _text_class(column: int, labels: int) -> str:
    return ' class="text"' if column < labels else ""
