"""A disk that fails fsync and turns read-only: writes are refused, searches go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.partition.disk_faults import DiskReport, fail_fsync
from tests.chaos.partition.disks import why_no_disks


def test_searches_go_on_while_fsync_fails(tmp_path: Path) -> None:
    reason = why_no_disks()
    if reason:
        pytest.skip(f"a disk that fails: {reason}")
    report = DiskReport()
    fail_fsync(tmp_path, report)
    assert report.faults == {}
    assert report.searches_refused == 0 and report.searches_while_fsync_fails > 0
    assert report.refused.get("STORE_READ_ONLY", 0) + report.refused.get("STORE_FAILED", 0) > 0
