"""What holds for every test."""

from __future__ import annotations

import os
import sys

import pytest
import structlog
from hypothesis import settings

# The same examples every time, so that whoever changes something sees what the change did;
# HYPOTHESIS_PROFILE=default looks for new ones, as `make test-long` does.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def _to_standard_error(*_: object) -> structlog.PrintLogger:
    return structlog.PrintLogger(sys.stderr)


@pytest.fixture(autouse=True)
def logs_go_to_standard_error() -> None:
    """Servers in the tests' own process must not write between the lines of a command's answer."""
    if not structlog.is_configured():
        structlog.configure(logger_factory=_to_standard_error)
