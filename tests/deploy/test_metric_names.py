"""Dashboard and alerts speak of metrics that the programs have: these are started and scraped."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from patchsearch.certificates import make_certificates
from tests.contract.cluster import serving_encoder, write_placement
from tests.contract.fake_encoder import FakeEncoder

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "deploy" / "helm" / "patchsearch" / "files"
TIMEOUT_S = 60
_SUFFIXES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "gauge": ("",),
}


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard_queries() -> list[str]:
    panels = json.loads((FILES / "dashboard.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def names_in(expression: str) -> set[str]:
    """Metrics in a PromQL expression; quoted text is left out."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    return set(re.findall(r"\b(?:patchsearch|process|python)_[a-z0-9_]+", bare))


def start(stack: ExitStack, folder: Path, module: str, *flags: str) -> Path:
    """Starts a program; its ready file, which is not there yet."""
    ready = folder / f"{module}.json"
    log = stack.enter_context((folder / f"{module}.log").open("w"))
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", module, "--port", "0", "--metrics-port", "0"),
            *("--drain-s", "0", "--ready-file", str(ready), *flags),
        ],
        stdout=log,
        stderr=log,
        cwd=ROOT,
    )

    def end() -> None:
        process.terminate()
        process.wait(TIMEOUT_S)

    stack.callback(end)
    return ready


def told(ready: Path) -> dict[str, int]:
    until = time.monotonic() + TIMEOUT_S
    while not ready.exists():
        assert time.monotonic() < until, ready.with_suffix(".log").read_text()
        time.sleep(0.05)
    return json.loads(ready.read_text())


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, set[str]]]:
    """Names of the samples that each program exports, those of counters not counted yet too."""
    folder = tmp_path_factory.mktemp("programs")
    with ExitStack() as stack:
        make_certificates(folder, ["localhost"])
        encoder = start(
            *(stack, folder, "encoder_service", "--precision", "float32", "--max-batch", "4"),
            *("--tls-cert", str(folder / "localhost.crt")),
            *("--tls-key", str(folder / "localhost.key")),
        )
        shard = start(stack, folder, "shard_service", "--data", str(folder / "data"))
        fake = stack.enter_context(serving_encoder(FakeEncoder()))
        write_placement(folder / "placement.json", [f"127.0.0.1:{told(shard)['port']}"])
        router = start(
            *(stack, folder, "router", "--placement", str(folder / "placement.json")),
            *("--encoder", fake, "--create-partitions"),
        )
        found: dict[str, set[str]] = {}
        for name, ready in (("router", router), ("shard", shard), ("encoder", encoder)):
            port = told(ready)["metrics_port"]
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
                families = text_string_to_metric_families(answer.read().decode())
            found[name] = {
                family.name + suffix
                for family in families
                for suffix in _SUFFIXES.get(family.type, ("",))
            }
        yield found


def test_every_metric_of_the_dashboard_exists(exported: dict[str, set[str]]) -> None:
    known = set().union(*exported.values())
    queries = dashboard_queries()

    assert len(queries) > 50
    for query in queries:
        assert names_in(query), query
        assert names_in(query) <= known, query


def test_every_metric_of_the_alerts_exists(exported: dict[str, set[str]]) -> None:
    known = {*set().union(*exported.values()), "up"}
    for alert in alerts():
        names = names_in(alert["expr"])
        assert names or "up{" in alert["expr"], alert
        assert names <= known, alert


def test_every_metric_of_ours_is_on_the_dashboard(exported: dict[str, set[str]]) -> None:
    shown = set().union(*(names_in(query) for query in dashboard_queries()))
    families = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in shown}
    ours = {
        re.sub(r"_(total|bucket|sum|count)$", "", name)
        for name in set().union(*exported.values())
        if name.startswith("patchsearch_") and not name.endswith("_created")
    }

    assert ours - families == set()


def test_the_dashboard_is_what_its_script_writes() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "deploy" / "dashboard.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads((FILES / "dashboard.json").read_text())["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_prometheus_takes_the_queries(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: queries are not parsed")
    rules = [
        {"record": f"query:{number}", "expr": query}
        for number, query in enumerate(dashboard_queries())
    ]
    queries = tmp_path / "queries.yaml"
    queries.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(
        [promtool, "check", "rules", str(FILES / "alerts.yaml"), str(queries)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    headings = set(re.findall(r"^#+ (Patchsearch\w+)$", page, re.MULTILINE))
    names = [alert["alert"] for alert in alerts()]

    assert len(names) == len(set(names))
    assert set(names) == headings
    for alert in alerts():
        assert alert["annotations"]["runbook"] == f"docs/operations.md#{alert['alert'].lower()}"
        assert alert["annotations"]["summary"]
        assert alert["labels"]["severity"] in {"info", "warning", "critical"}
