"""The Helm chart rendered by the real helm, where one can be found."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "patchsearch"
KUBERNETES = "1.30"
SAFE = ("placement.etcd.url=etcd://etcd:2379/placement", "auth.tokensSecret=tokens")
"""The least that must be set."""


def helm_program() -> str:
    """Path of helm: from PATH, else the one that `make lint` installs; skips the test without."""
    ours = ROOT / ".cache" / "helm" / "node_modules" / ".bin" / "helm"
    found = shutil.which("helm") or (str(ours) if ours.exists() else None)
    if found is None:
        pytest.skip("helm is not installed: the chart is not rendered")
    return found


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs helm to its end."""
    return subprocess.run(
        [helm_program(), *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def render(
    *values: str, files: tuple[str, ...] = (), values_file: Path | None = None
) -> list[dict[str, Any]]:
    """The chart's manifests with `--set` values, `--set-file` files and a file of values."""
    done = helm(
        *("template", "ps", str(CHART), "--kube-version", f"{KUBERNETES}.0", "-n", "search"),
        *(() if values_file is None else ("--values", str(values_file))),
        *(part for value in values for part in ("--set", value)),
        *(part for file in files for part in ("--set-file", file)),
    )
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def only(manifests: list[dict[str, Any]], kind: str, ending: str = "") -> dict[str, Any]:
    """The one manifest of a kind whose name ends so."""
    (found,) = [
        m for m in manifests if m["kind"] == kind and m["metadata"]["name"].endswith(ending)
    ]
    return found


def pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """The pod's spec of a Deployment or StatefulSet."""
    return manifest["spec"]["template"]["spec"]


def environment(manifest: dict[str, Any]) -> dict[str, str]:
    """What the only container's variables are set to; "" for those that a field gives."""
    (container,) = pod_of(manifest)["containers"]
    return {item["name"]: item.get("value", "") for item in container["env"]}
