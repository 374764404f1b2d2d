"""`python fake_supervisor.py DIR [SHARDS]`: `patchsearch serve` over the fake services."""

from __future__ import annotations

import sys
from pathlib import Path

from patchsearch.serving import Programs, serve

FAKE = Path(__file__).with_name("fake_service.py")


def fake_programs() -> Programs:
    """Command lines of the fake services."""

    def line(role: str) -> tuple[str, ...]:
        return (sys.executable, str(FAKE), role)

    return Programs(encoder=line("encoder"), shard=line("shard"), router=line("router"))


if __name__ == "__main__":
    shards = int(sys.argv[2]) if len(sys.argv) > 2 else None
    sys.exit(
        serve(
            Path(sys.argv[1]),
            shards=shards,
            port=0,
            programs=fake_programs(),
            echo=lambda line: print(line, flush=True),
        )
    )
