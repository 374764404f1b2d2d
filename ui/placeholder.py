"""A drawing in place of a picture that cannot be shown."""

from __future__ import annotations

import textwrap
from xml.sax.saxutils import escape

_LINES = 6


def placeholder(reason: str) -> str:
    """An SVG of 320 x 320 that says why; it holds no script, whatever the reason holds."""
    printable = "".join(c if c.isprintable() else " " for c in reason)
    lines = textwrap.wrap(printable, 30)[:_LINES]
    top = 166 - 11 * (len(lines) - 1)
    text = "".join(
        f'<tspan x="160" y="{top + 22 * number}">{escape(line)}</tspan>'
        for number, line in enumerate(lines)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 320" width="320" height="320">'
        '<rect width="320" height="320" fill="#8a8f98" fill-opacity=".18"/>'
        '<text font-family="system-ui,sans-serif" font-size="17" fill="#757b85" '
        f'text-anchor="middle">{text}</text></svg>'
    )
