"""Generates the gRPC stubs from `protos/` whenever the project is built, also for editing."""

from __future__ import annotations

import os
import sys
from importlib import resources, util
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ProtoBuildHook(BuildHookInterface[Any]):
    """Runs `grpc_tools.protoc`; an output lands in the package that mirrors its proto's path."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before files are collected: for wheels, and for editable installs."""
        generate(Path(self.root))


def generate(root: Path) -> None:
    """Writes `*_pb2.py`, `*_pb2_grpc.py` and their `.pyi` below `root/patchsearch`.

    Raises RuntimeError when protoc refuses a source; its own message is on standard error.
    """
    from grpc_tools import protoc

    sources = sorted(str(p) for p in (root / "protos" / "patchsearch").rglob("*.proto"))
    well_known = str(resources.files("grpc_tools") / "_proto")
    # google/rpc/status.proto comes with googleapis-common-protos; google/ is a namespace package.
    found = util.find_spec("google.rpc.status_pb2")
    if found is None or found.origin is None:
        raise RuntimeError("googleapis-common-protos is not installed; `make setup` installs it")
    googleapis = str(Path(found.origin).parents[2])
    # protoc finds the mypy plugins, console scripts of this interpreter, through PATH.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={root / 'protos'}",
            f"--proto_path={well_known}",
            f"--proto_path={googleapis}",
            f"--python_out={root}",
            f"--grpc_python_out={root}",
            f"--mypy_out=quiet:{root}",
            f"--mypy_grpc_out=quiet:{root}",
            *sources,
        ]
    )
    if status != 0:
        raise RuntimeError(f"protoc exited with {status}; its message is above")


if __name__ == "__main__":
    generate(Path(__file__).resolve().parent.parent)
