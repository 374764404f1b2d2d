"""What compose.yaml sets, tried with real processes: mTLS inside, TLS and a token outside."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from encoder_service.settings import EncoderSettings
from patchsearch.certificates import make_certificates
from patchsearch.encoder.v1.encoder_service_pb2_grpc import add_EncoderServiceServicer_to_server
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.v1.search_service_pb2_grpc import SearchServiceStub
from patchsearch.wire.security import ChannelSecurity
from service_runtime.clients import open_channel
from service_runtime.roles import Role
from service_runtime.server import Service, ServiceServer
from service_runtime.token_file import TokenEntry, hash_of, new_token, write_tokens
from tests.contract.cluster import write_placement
from tests.contract.fake_encoder import FakeEncoder

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 60


@dataclass(frozen=True)
class Running:
    """Services of compose as servers of this machine: ports by service, secrets, a token."""

    ports: dict[str, int]
    secrets: Path
    token: str


def environment(name: str, secrets: Path) -> dict[str, str]:
    """A service's variables, with files where they are here."""
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    return {
        variable: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value).replace("/secrets", str(secrets))
        for variable, value in services[name]["environment"].items()
    }


def start(stack: ExitStack, folder: Path, name: str, module: str, given: dict[str, str]) -> int:
    """Starts a program with these variables; its port once it serves."""
    ready = folder / f"{name}.json"
    log = stack.enter_context((folder / f"{name}.log").open("w"))
    flags = ["--port", "0", "--metrics-port", "0", "--drain-s", "0", "--ready-file", str(ready)]
    process = subprocess.Popen(
        [sys.executable, "-m", module, *flags],
        env={**os.environ, **given},
        cwd=ROOT,
        stdout=log,
        stderr=log,
    )
    stack.callback(process.wait, TIMEOUT_S)
    stack.callback(process.terminate)
    until = time.monotonic() + TIMEOUT_S
    while not ready.exists():
        assert process.poll() is None, (folder / f"{name}.log").read_text()
        assert time.monotonic() < until, (folder / f"{name}.log").read_text()
        time.sleep(0.05)
    return int(json.loads(ready.read_text())["port"])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("compose")
    secrets = folder / "secrets"
    make_certificates(secrets, ["encoder", "shard-0", "shard-1", "router"])
    token = new_token()
    write_tokens(secrets / "tokens.json", [TokenEntry("me", Role.ADMIN, hash_of(token))])
    with ExitStack() as stack:
        told = {
            name.removeprefix("PATCHSEARCH_ENCODER_").lower(): value
            for name, value in environment("encoder", secrets).items()
        }
        names = json.loads(told.pop("tls_client_names"))
        settings = EncoderSettings(
            **{**told, "port": 0, "metrics_port": 0, "drain_s": 0, "tls_client_names": names}
        )
        service = Service(
            "patchsearch.encoder.v1.EncoderService",
            FakeEncoder(),
            add_EncoderServiceServicer_to_server,
        )
        ports = {"encoder": stack.enter_context(ServiceServer(settings, [service])).port}
        data = {"PATCHSEARCH_SHARD_DATA": str(folder / "data")}
        given = {**environment("shard-0", secrets), **data}
        ports["shard-0"] = start(stack, folder, "shard-0", "shard_service", given)
        write_placement(folder / "placement.json", [f"127.0.0.1:{ports['shard-0']}"], partitions=2)
        given = {
            **environment("router", secrets),
            "PATCHSEARCH_ROUTER_PLACEMENT": str(folder / "placement.json"),
            "PATCHSEARCH_ROUTER_ENCODER": f"127.0.0.1:{ports['encoder']}",
            "PATCHSEARCH_ROUTER_CREATE_PARTITIONS": "true",
        }
        ports["router"] = start(stack, folder, "router", "router", given)
        yield Running(ports, secrets, token)


def search(running: Running, security: ChannelSecurity) -> pb.SearchResponse:
    address = f"127.0.0.1:{running.ports['router']}"
    with open_channel(address, max_attempts=1, security=security) as channel:
        request = pb.SearchRequest(terms=[{"text": "a red sign"}])
        return SearchServiceStub(channel).Search(request, timeout=TIMEOUT_S)


def test_a_search_with_the_token_goes_through_all_of_it(running: Running) -> None:
    answer = search(running, ChannelSecurity(ca=running.secrets / "ca.crt", token=running.token))

    assert (answer.coverage.partitions_total, answer.coverage.degraded) == (2, False)


def test_without_the_token_nobody_searches(running: Running) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        search(running, ChannelSecurity(ca=running.secrets / "ca.crt"))

    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("name", ["encoder", "shard-0", "router"])
def test_its_health_check_finds_it_well(running: Running, name: str) -> None:
    services: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    _, _, _, module, _, *flags = services["services"][name]["healthcheck"]["test"]
    done = subprocess.run(
        [sys.executable, "-m", module, f"127.0.0.1:{running.ports[name]}"]
        + [flag.replace("/secrets", str(running.secrets)) for flag in flags],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )

    assert (done.stdout, done.returncode) == ("SERVING\n", 0)
