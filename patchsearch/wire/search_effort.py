"""How hard an index may be asked to look."""

from __future__ import annotations

from patchsearch.errors import InvalidArgument

MAX_EF = 4096
"""Widest beam of a graph index."""
MAX_NPROBE = 65536
"""Most cells of an inverted-file index."""


def check_ef(ef: int) -> int:
    """The beam width; raises InvalidArgument EF_OUT_OF_RANGE unless it is 1 to 4096."""
    return _checked(ef, "ef", MAX_EF)


def check_nprobe(nprobe: int) -> int:
    """The cells; raises InvalidArgument NPROBE_OUT_OF_RANGE unless they are 1 to 65536."""
    return _checked(nprobe, "nprobe", MAX_NPROBE)


def _checked(value: int, name: str, most: int) -> int:
    if not 1 <= value <= most:
        raise InvalidArgument(
            f"{name.upper()}_OUT_OF_RANGE", f"{name} is {value}; give 1 to {most}"
        )
    return value
