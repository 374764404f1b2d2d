"""`python -m cluster`."""

from __future__ import annotations

from cluster.main import program

if __name__ == "__main__":
    program()
