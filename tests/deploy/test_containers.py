"""Compose and Dockerfile against the code: settings that exist, files that are there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from encoder_service.settings import EncoderSettings
from patchsearch.certificates import make_certificates
from placement.document import load_placement
from router.settings import RouterSettings
from service_runtime.exposure import check_exposure
from service_runtime.settings import ServiceSettings
from service_runtime.token_file import write_tokens
from shard_service.settings import ShardSettings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SETTINGS: dict[str, type[ServiceSettings]] = {
    "router": RouterSettings,
    "shard": ShardSettings,
    "encoder": EncoderSettings,
}
SERVICES = {
    "router": "patchsearch.v1.SearchService",
    "shard": "patchsearch.shard.v1.ShardService",
    "encoder": "patchsearch.encoder.v1.EncoderService",
}


def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]


def targets() -> dict[str, str]:
    """Stages of the Dockerfile by name."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    stages = re.split(r"^FROM \S+ AS (\S+)$", text, flags=re.MULTILINE)
    return dict(zip(stages[1::2], stages[2::2], strict=True))


def given(name: str) -> tuple[type[BaseSettings], dict[str, Any]]:
    """The settings of a compose service: what its image and compose.yaml set."""
    kind = compose()[name]["build"]["target"]
    variables = dict(re.findall(r"(PATCHSEARCH_\w+)=(\S+)", targets()[kind]))
    variables |= compose()[name]["environment"]
    prefix = f"PATCHSEARCH_{kind.upper()}_"
    assert all(variable.startswith(prefix) for variable in variables)
    plain = {}
    for variable, value in variables.items():
        value = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value)
        field = variable.removeprefix(prefix).lower()
        plain[field] = json.loads(value) if value.startswith("[") else value
    return SETTINGS[kind], plain


@pytest.mark.parametrize("name", ["router", "shard-0", "shard-1", "encoder"])
def test_a_service_of_compose_would_start(name: str) -> None:
    cls, values = given(name)
    settings = cls(**values)

    assert isinstance(settings, ServiceSettings)
    assert settings.host == "0.0.0.0"
    assert not settings.insecure
    check_exposure(settings, [SERVICES[compose()[name]["build"]["target"]]])


@pytest.mark.parametrize("name", ["router", "shard-0", "shard-1", "encoder"])
def test_the_certificates_it_names_are_what_tls_init_makes(name: str, tmp_path: Path) -> None:
    hosts = ["encoder", "shard-0", "shard-1", "router"]
    assert all(f"--host {host}" in (DEPLOY / "README.md").read_text() for host in hosts)
    made = {path.name for path in make_certificates(tmp_path, hosts)} | {"tokens.json"}
    write_tokens(tmp_path / "tokens.json", [])
    _, values = given(name)
    wanted = [str(v) for v in values.values() if str(v).startswith("/secrets/")]
    wanted += [part.partition("=")[2] for part in compose()[name]["healthcheck"]["test"][5:]]

    assert "./secrets:/secrets:ro" in compose()[name]["volumes"]
    assert wanted
    assert {Path(path).name for path in wanted} <= made
    assert not [path for path in wanted if "key" in path and name not in path]


def test_the_placement_of_compose_names_its_shards() -> None:
    placement = load_placement(DEPLOY / "placement.json")

    assert set(placement.shards) == {name for name in compose() if name.startswith("shard-")}
    for name, address in placement.shards.items():
        assert address == f"{name}:7101"


def test_only_the_router_is_published_and_only_here() -> None:
    published = {name: service.get("ports", []) for name, service in compose().items()}

    assert published.pop("router") == ["127.0.0.1:${PORT:-7100}:7100"]
    assert not any(published.values())


def test_the_image_gets_every_package_of_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = re.findall(r"^COPY (\w+) \1$", targets()["build"], re.MULTILINE)
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text().split()

    assert set(packages) | {"protos"} == set(copied)
    assert all(f"!{package}" in allowed for package in copied)


def test_the_entry_points_are_programs_of_the_project() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    entries = [
        json.loads(re.search(r"^ENTRYPOINT (.*)$", targets()[name], re.MULTILINE)[1])[0]
        for name in ("router", "shard", "encoder", "tools")
    ]

    assert set(entries) <= set(scripts)


def test_the_lists_of_packages_are_in_the_constraints() -> None:
    """What is installed in an image is pinned as what the tests run with."""
    pinned = {
        re.split(r"==", line)[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    text = " ".join(targets().values())
    lists = re.findall(r"\$\{RUNTIME\}\s+([\w. -]+)", text) + re.findall(r'RUNTIME="(.*?)"', text)
    wanted = {name.lower().replace("_", "-") for names in lists for name in names.split()}
    # The GPU build of the same module is what the tests run with.
    wanted.discard("faiss-cpu")

    assert wanted - pinned == set()


def test_yaml_files_parse() -> None:
    files = [*DEPLOY.glob("*.yaml"), *DEPLOY.glob("helm/patchsearch/*.yaml")]
    files += DEPLOY.glob("helm/patchsearch/files/*.yaml")

    assert len(files) >= 5
    for file in files:
        assert yaml.safe_load(file.read_text()), file


def test_the_tools_have_their_commands() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "patchsearch", "cluster", "init", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "COLUMNS": "120"},
    )

    assert done.returncode == 0, done.stderr
