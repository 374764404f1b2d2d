"""The `patchsearch` command line.

Exit codes: 0 done; 1 the service refused, or some photos failed; 2 the command was used wrongly;
3 nobody answers at the address; 130 interrupted.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the console script; ends the process."""
    try:
        from patchsearch.cli.app import run
    except ModuleNotFoundError as error:
        print(
            f"the command line needs {error.name}: pip install 'patchsearch[cli]'", file=sys.stderr
        )
        sys.exit(1)
    sys.exit(run(sys.argv[1:]))
