"""Writes the Grafana dashboard: `python deploy/dashboard.py`; `--check` only compares.

The panels of dashboard_panels.py are the source; the JSON is not edited by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from dashboard_panels import ROWS, Panel

TARGET = Path(__file__).parent / "helm" / "patchsearch" / "files" / "dashboard.json"

_WIDTH, _HEIGHT, _GRID = 8, 8, 24


def dashboard() -> dict[str, Any]:
    """The document that Grafana imports."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in ROWS:
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": y, "w": _GRID, "h": 1},
                "panels": [],
            }
        )
        y += 1
        for index, panel in enumerate(row.panels):
            x = index * _WIDTH % _GRID
            panels.append(_panel(panel, len(panels) + 1, x, y))
            if x + _WIDTH == _GRID or index == len(row.panels) - 1:
                y += _HEIGHT
    return {
        "uid": "patchsearch",
        "title": "patchsearch",
        "tags": ["patchsearch"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Data source",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": panels,
    }


def _panel(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": source,
        "gridPos": {"x": x, "y": y, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"tooltip": {"mode": "multi"}, "legend": {"displayMode": "list"}},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": source,
                "expr": query.expr,
                "legendFormat": query.legend,
            }
            for index, query in enumerate(panel.queries)
        ],
    }


def main() -> int:
    """Writes the file, or with `--check` says whether it is what this script would write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    text = json.dumps(dashboard(), indent=1) + "\n"
    if not parser.parse_args().check:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.read_text(encoding="utf-8") == text:
        return 0
    print(f"{TARGET} is not what the panels say: run python deploy/dashboard.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
