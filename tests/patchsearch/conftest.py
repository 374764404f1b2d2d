"""A running fake collection and clients of it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from patchsearch import Client


def _load(name: str) -> ModuleType:
    # Test folders are no packages, so what they share is loaded by its path.
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture
def fake() -> ModuleType:
    """The module `fake_collection`."""
    return _load("fake_collection")


@pytest.fixture
def collection(fake: ModuleType):
    return fake.FakeCollection()


@pytest.fixture
def address(fake: ModuleType, collection) -> Iterator[str]:
    with fake.running(collection) as where:
        yield where


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address, timeout_s=10) as made:
        yield made
