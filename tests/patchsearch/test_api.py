"""patchsearch: what can be imported, and how little comes with it."""

from __future__ import annotations

import json
import subprocess
import sys
from types import ModuleType

import patchsearch

HEAVY = (
    *("torch", "faiss", "lmdb", "typer", "rich", "pydantic", "cv2", "open_clip", "structlog"),
    *("pandas", "fiftyone", "fsspec", "IPython"),
)


def test_all_is_what_can_be_imported() -> None:
    importable = {
        name
        for name, value in vars(patchsearch).items()
        if not name.startswith("_") and (not isinstance(value, ModuleType) or name == "errors")
    }
    assert sorted(importable) == patchsearch.__all__


def test_importing_the_client_is_light() -> None:
    loaded = run("import patchsearch, json, sys; print(json.dumps(sorted(sys.modules)))")
    roots = {name.partition(".")[0] for name in json.loads(loaded)}
    assert not roots & set(HEAVY)


def test_the_client_runs_without_the_extras() -> None:
    """A whole search and ingest import nothing beyond the declared dependencies either."""
    program = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import patchsearch
client = patchsearch.Client("127.0.0.1:1", timeout_s=20)
for call in (lambda: client.search("red"), lambda: list(client.ingest([b"x"]))):
    try:
        call()
    except patchsearch.errors.Unavailable as error:
        print(error.reason)
"""
    assert run(program).split() == ["UNREACHABLE", "UNREACHABLE"]


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
