"""The page that shows what the demo asked and what it found."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1240px;
  padding: 0 1rem; color: #0f172a; background: #f8fafc }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin: 2rem 0 .4rem }
table { border-collapse: collapse; background: #fff }
th, td { padding: .35rem .8rem; border: 1px solid #cbd5e1; text-align: right }
th:first-child, td:first-child { text-align: left }
img { max-width: 100%; border: 1px solid #cbd5e1; background: #fff }
.note { color: #475569 }
@media (prefers-color-scheme: dark) {
  body { background: #0f172a; color: #e2e8f0 } .note { color: #94a3b8 }
  table, img { background: #1e293b } th, td, img { border-color: #475569 }
}
"""


@dataclass(frozen=True)
class Sheet:
    """One contact sheet of the page."""

    title: str
    note: str
    file_name: str
    """PNG beside the page."""


def write_page(
    path: Path,
    title: str,
    lead: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    sheets: Sequence[Sheet],
) -> None:
    """Writes the page; the table is left out where it has no rows."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title><style>{STYLE}</style>",
        f"<h1>{html.escape(title)}</h1><p>{html.escape(lead)}</p>",
    ]
    if rows:
        cells = "".join(f"<th scope=col>{html.escape(cell)}</th>" for cell in header)
        parts.append(f"<table><thead><tr>{cells}</tr></thead><tbody>")
        for row in rows:
            cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
            parts.append(f"<tr>{cells}</tr>")
        parts.append("</tbody></table>")
    for sheet in sheets:
        name = html.escape(sheet.file_name, quote=True)
        alt = html.escape(f"{sheet.title}: query and hits", quote=True)
        parts.append(
            f"<h2>{html.escape(sheet.title)}</h2><p class=note>{html.escape(sheet.note)}</p>"
            f'<a href="{name}"><img src="{name}" alt="{alt}" loading=lazy></a>'
        )
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")
