"""Numbers as the report writes them."""

from __future__ import annotations

from evaluation.study.report.page import Cell


def share_text(value: float | None, digits: int = 2) -> str:
    """A share such as 0.72; "-" for none."""
    return "-" if value is None else f"{value:.{digits}f}"


def spread_text(mean: float, std: float) -> str:
    """Mean and standard deviation as the thesis writes them: 0.72 (0.29)."""
    return f"{mean:.2f} ({std:.2f})"


def small_share(value: float) -> str:
    """A share that may be far below a hundredth: 0.0031."""
    return f"{value:.2f}" if value >= 0.095 else f"{value:.4f}"


def share_cell(value: float | None, *, best: bool = False, digits: int = 2) -> Cell:
    """A share with a bar behind it."""
    if value is None:
        return Cell("-")
    return Cell(share_text(value, digits), max(0.0, min(value, 1.0)), best)


def bytes_text(value: float) -> str:
    """Bytes in the largest unit that leaves a number of 1 or more: 8.6 MB."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} B"


def count_text(value: float) -> str:
    """A count with thin groups: 17 000; one decimal for what is no whole number."""
    if float(value).is_integer():
        return f"{int(value):,}".replace(",", " ")
    return f"{value:.1f}"
