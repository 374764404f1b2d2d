"""`python -m router`."""

from __future__ import annotations

from router.main import program

if __name__ == "__main__":
    program()
