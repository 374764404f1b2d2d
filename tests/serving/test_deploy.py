"""The files in deploy/ against the code: no image is built here."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from patchsearch.serving.placement_file import new_placement

ROOT = Path(__file__).parents[2]
FOR_CALLERS = ("cli", "serving", "exports", "results.py", "photo_reader.py", "certificates.py")
FIRST_PARTY = {path.parent.name for path in ROOT.glob("*/__init__.py")}


def third_party(*packages: str) -> dict[str, set[str]]:
    """Modules that first-party packages import, and who provides them, normalised names."""
    provided_by = packages_distributions()
    files = [
        file
        for package in packages
        for file in (ROOT / package).rglob("*.py")
        # Not part of a server: the command line, what starts the embedded deployment, and what
        # callers do with what they found.
        if not any(file.is_relative_to(ROOT / "patchsearch" / one) for one in FOR_CALLERS)
    ]
    modules: set[str] = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.partition(".")[0])
    modules -= FIRST_PARTY | set(sys.stdlib_module_names) | {"google"}
    return {module: {normal(name) for name in provided_by[module]} for module in modules}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(target: str) -> set[str]:
    """Distributions that an image gets: the Dockerfile's list and the wheel's own dependencies."""
    written = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    dockerfile = written.replace("\\\n", " ")
    runtime = re.search(r'^ENV RUNTIME="([^"]*)"', dockerfile, re.M)
    stage = re.search(
        rf"^FROM build AS build-{target}$(.*?)^(?:FROM|# ---)", dockerfile, re.M | re.S
    )
    assert runtime and stage
    named = stage[1].partition("${RUNTIME}")[2].split()
    project: Any = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = [re.split(r"[<>=;\[ ]", line)[0] for line in project["dependencies"]]
    return {normal(name) for name in (*runtime[1].split(), *named, *own)}


@pytest.mark.parametrize(
    ("target", "packages"),
    [
        ("router", ("router", "placement")),
        ("shard", ("shard_service",)),
        ("encoder", ("encoder_service", "patch_selection")),
    ],
)
def test_an_image_has_what_its_service_imports(target: str, packages: tuple[str, ...]) -> None:
    needed = third_party("patchsearch", "service_runtime", *packages)

    # pydantic comes with pydantic-settings; what runs saliency models in files is for those who
    # have one.
    there = installed(target) | {"pydantic", "ai-edge-litert", "onnxruntime"}
    assert {module for module, providers in needed.items() if not providers & there} == {
        # One of two distributions: the image has the other one.
        *({"faiss"} if target == "shard" else set())
    }
    assert ("faiss-cpu" in installed(target)) == (target == "shard")


def test_every_distribution_of_the_images_is_one_that_the_project_declares() -> None:
    project: Any = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [
        *project["dependencies"],
        *(line for name in ("server", "tls", "tracing", "etcd") for line in extras[name]),
    ]
    declared = {normal(re.split(r"[<>=;\[ ]", line)[0]) for line in lines}

    for target in ("router", "shard", "encoder"):
        assert installed(target) <= declared


def test_the_placement_is_that_of_two_shards() -> None:
    placement = json.loads((ROOT / "deploy" / "placement.json").read_text(encoding="utf-8"))

    assert placement == new_placement({f"shard-{n}": f"shard-{n}:7101" for n in range(2)})
