"""The calls of docs/howto/other-languages.md and the TypeScript example reach a collection.

Where grpcurl is not installed, what it would do is done here: the method and its messages are
learnt from the server by reflection alone, the JSON becomes the same bytes, and they go over a
plain channel.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from PIL import Image

from patchsearch import Client, Photo

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "howto" / "other-languages.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```sh\n(grpcurl .*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def fake() -> ModuleType:
    path = ROOT / "tests" / "patchsearch" / "fake_collection.py"
    spec = importlib.util.spec_from_file_location("fake_collection", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["fake_collection"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def address(fake: ModuleType) -> Iterator[str]:
    """A collection of four photos of one colour each."""
    with fake.running(fake.FakeCollection()) as where:
        with Client(where) as client:
            list(client.ingest(Photo(f"{c}.png", fake.picture(c)) for c in fake.COLOURS))
        yield where


def call(command: str, address: str) -> Any:
    """What a grpcurl command line prints, as JSON where it calls a method, else as text."""
    words = shlex.split(command.replace("\\\n", " ").replace("127.0.0.1:7100", address))
    if shutil.which("grpcurl"):
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if "/" in words[-1] else done.stdout
    body, place, what = "{}", words.index(address), words[-1]
    if "-d" in words:
        body = words[words.index("-d") + 1]
        assert words.index("-d") < place
    assert words[:2] == ["grpcurl", "-plaintext"]
    with grpc.insecure_channel(address) as channel:
        known = ProtoReflectionDescriptorDatabase(channel)
        pool = descriptor_pool.DescriptorPool(known)
        if what == "list":
            return "\n".join(known.get_services())
        if words[-2] == "describe":
            service = pool.FindServiceByName(what)
            return "\n".join(method.name for method in service.methods)
        service_name, _, method_name = what.partition("/")
        method = pool.FindServiceByName(service_name).FindMethodByName(method_name)
        request = json_format.Parse(body, message_factory.GetMessageClass(method.input_type)())
        answer = channel.unary_unary(f"/{what}")(request.SerializeToString(), timeout=30)
        response = message_factory.GetMessageClass(method.output_type).FromString(answer)
        return json_format.MessageToDict(response, descriptor_pool=pool)


def named(part: str) -> str:
    (command,) = (command for command in COMMANDS if part in command)
    return command


def test_every_command_of_the_page_is_answered(address: str) -> None:
    assert len(COMMANDS) == 8
    for command in COMMANDS:
        assert call(command, address), command


def test_services_are_listed(address: str) -> None:
    assert "patchsearch.v1.SearchService" in call(named(" list"), address)
    assert "IngestImages" in call(named(" describe "), address)


def test_answers_are_what_the_client_gets(address: str) -> None:
    hits = call(named("/Search"), address)["hits"]
    assert len(hits) == 3 and hits[0]["imageId"] == "red.png"
    with Client(address) as client:
        assert client.search("red", k=1)[0].box.w == hits[0]["box"]["w"]
    image = call(named("/GetImage"), address)
    assert image["image"]["imageId"] == "red.png" and image["vectors"]["fingerprint"]
    assert len(call(named("/BatchSearch"), address)["results"]) == 2
    assert call(named("/DescribeCollection"), address)["images"] in (4, "4")
    assert [i["imageId"] for i in call(named("/ListImages"), address)["images"]] == ["red.png"]
    assert call(named("/DeleteImages"), address)["deletedImageIds"] == ["red.png"]
    assert call(named("/DescribeCollection"), address)["images"] in (3, "3")


def test_typescript_searches(address: str, fake: ModuleType, tmp_path: Path) -> None:
    folder = ROOT / "examples" / "typescript"
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    if not (folder / "node_modules" / "typescript").is_dir():
        pytest.skip("its packages are not installed: npm install --prefix examples/typescript")
    built = subprocess.run(
        [node, "node_modules/typescript/bin/tsc"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert built.returncode == 0, built.stdout
    Image.fromarray(fake.picture("green")).save(tmp_path / "green.png")

    def search(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [node, "build/search.js", *map(str, arguments)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
        )

    found = search(address, "green", tmp_path / "green.png")
    assert found.returncode == 0, found.stderr
    first = found.stdout.splitlines()[0].split()
    assert first[2:] == ["green.png", "0,0,32,48"] and float(first[1]) > 0.99
    refused = search(address, "no colour")
    assert (refused.returncode, refused.stderr.split(":")[0]) == (1, "INVALID_ARGUMENT")
    assert search().returncode == 2
