"""Programs that can be interrupted, whoever started the tests."""

from __future__ import annotations

import sys

HEARS_SIGINT = ("env", "--default-signal=INT", sys.executable, "-m")
"""Begins the command of a Python module. A shell starts what it runs in the background deaf to
SIGINT, and children inherit that. A `preexec_fn` would mean a fork of a process in which gRPC has
threads."""
