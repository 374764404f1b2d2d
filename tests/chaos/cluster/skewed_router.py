"""`python -m tests.chaos.cluster.skewed_router SECONDS FLAGS...`: a router on a machine whose clock
is ahead (or, with a negative number, behind)."""

from __future__ import annotations

import sys
import time

_real_time_ns = time.time_ns


def main() -> int:
    ahead_ns = int(float(sys.argv[1]) * 1e9)
    # Before the router is loaded: the wall clock is what is wrong on such a machine.
    time.time_ns = lambda: _real_time_ns() + ahead_ns
    from router.main import main as serve

    return serve(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
