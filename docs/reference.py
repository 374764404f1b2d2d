"""Writes the reference pages: `docs/api.md` from the protos, `docs/settings.md` from the settings
classes, `docs/cli.md` from the commands.

python docs/reference.py          writes them
python docs/reference.py --check  exits with 1 and names the pages that are out of date
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib import util
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)
from reference_cli import cli_page

ROOT = Path(__file__).resolve().parent.parent
Comments = Mapping[tuple[int, ...], str]


def main(arguments: list[str]) -> int:
    """Writes or checks the pages; returns the exit status."""
    stale = []
    pages = {"api.md": api_page(), "cli.md": cli_page(), "settings.md": settings_page()}
    for name, text in pages.items():
        page = ROOT / "docs" / name
        if page.is_file() and page.read_text(encoding="utf-8") == text:
            continue
        if "--check" in arguments:
            stale.append(name)
        else:
            page.write_text(text, encoding="utf-8")
    if stale:
        print(f"out of date: {', '.join(stale)}; run `make docs` and commit the result")
    return 1 if stale else 0


def api_page() -> str:
    """The public and internal gRPC APIs as Markdown."""
    parts = [
        "# API",
        "",
        "Made from the comments in `protos/` by `make docs`; edit those."
        " `patchsearch.v1` is public and only grows;"
        " the encoder's and the shards' APIs are internal and may change with the cluster.",
        "",
    ]
    for file in _descriptors().file:
        if not file.package.startswith("patchsearch."):
            continue
        comments = {
            tuple(location.path): location.leading_comments
            for location in file.source_code_info.location
        }
        for index, service in enumerate(file.service):
            parts += _service(file, service, (6, index), comments)
        parts += [f"## Messages of `{file.name}`", ""]
        for index, message in enumerate(file.message_type):
            parts += _message(message, (4, index), comments)
        for index, enum in enumerate(file.enum_type):
            parts += _enum(enum, (5, index), comments)
    return "\n".join(parts).rstrip() + "\n"


def settings_page() -> str:
    """Every setting of the servers: flag, environment variable, default, meaning."""
    from cluster.settings import OperatorSettings
    from encoder_service.settings import EncoderSettings
    from router.settings import RouterSettings
    from shard_service.settings import ShardSettings

    parts = [
        "# Settings",
        "",
        "Made from the settings classes by `make docs`. Each setting is a flag and an environment"
        " variable; the flag wins.",
        "",
    ]
    for program, settings in (
        ("patchsearch-router", RouterSettings),
        ("patchsearch-shard", ShardSettings),
        ("patchsearch-encoder", EncoderSettings),
        ("patchsearch-operator", OperatorSettings),
    ):
        prefix = settings.model_config.get("env_prefix", "")
        parts += [
            f"## {program}",
            "",
            "| flag | variable | default | meaning |",
            "|---|---|---|---|",
        ]
        for name, field in settings.model_fields.items():
            value = field.get_default(call_default_factory=True)
            default = "required" if field.is_required() else f"`{value}`"
            meaning = (field.description or "").replace("|", "\\|")
            flag, variable = f"--{name.replace('_', '-')}", f"{prefix}{name.upper()}"
            parts.append(f"| `{flag}` | `{variable}` | {default} | {meaning} |")
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _descriptors() -> FileDescriptorSet:
    from grpc_tools import protoc

    status = util.find_spec("google.rpc.status_pb2")
    tools = util.find_spec("grpc_tools")
    if status is None or status.origin is None or tools is None or tools.origin is None:
        raise RuntimeError("the development dependencies are not installed; run `make setup`")
    protos = ROOT / "protos"
    sources = sorted(str(path) for path in (protos / "patchsearch").rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "descriptors"
        code = protoc.main(
            [
                "protoc",
                f"--proto_path={protos}",
                f"--proto_path={Path(tools.origin).parent / '_proto'}",
                f"--proto_path={Path(status.origin).parents[2]}",
                "--include_source_info",
                f"--descriptor_set_out={out}",
                *sources,
            ]
        )
        if code != 0:
            raise RuntimeError("protoc refused the sources; its message is above")
        descriptors = FileDescriptorSet.FromString(out.read_bytes())
    public_first = sorted(descriptors.file, key=lambda file: (file.package.count("."), file.name))
    return FileDescriptorSet(file=public_first)


def _paragraphs(comment: str) -> Iterator[str]:
    for line in comment.splitlines():
        yield line.strip()
    yield ""


def _service(
    file: FileDescriptorProto,
    service: ServiceDescriptorProto,
    path: tuple[int, ...],
    comments: Comments,
) -> Iterator[str]:
    yield f"## {file.package}.{service.name}"
    yield ""
    yield from _paragraphs(comments.get(path, ""))
    for index, method in enumerate(service.method):
        takes = ("stream " if method.client_streaming else "") + _short(method.input_type)
        gives = ("stream " if method.server_streaming else "") + _short(method.output_type)
        yield f"### {method.name}({takes}) → {gives}"
        yield ""
        yield from _paragraphs(comments.get((*path, 2, index), ""))


def _message(message: DescriptorProto, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    yield f"### {message.name}"
    yield ""
    yield from _paragraphs(comments.get(path, ""))
    if not message.field:
        return
    yield "| field | type | meaning |"
    yield "|---|---|---|"
    for index, field in enumerate(message.field):
        meaning = " ".join(comments.get((*path, 2, index), "").split()).replace("|", "\\|")
        yield f"| `{field.name}` | {_type(field)} | {meaning} |"
    yield ""


def _enum(enum: EnumDescriptorProto, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    yield f"### {enum.name}"
    yield ""
    yield from _paragraphs(comments.get(path, ""))
    yield "| value | meaning |"
    yield "|---|---|"
    for index, value in enumerate(enum.value):
        yield f"| `{value.name}` | {' '.join(comments.get((*path, 2, index), '').split())} |"
    yield ""


def _type(field: FieldDescriptorProto) -> str:
    kind = FieldDescriptorProto.Type.Name(field.type)
    name = _short(field.type_name) if field.type_name else kind.removeprefix("TYPE_").lower()
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {name}"
    return f"optional {name}" if field.proto3_optional else name


def _short(full_name: str) -> str:
    return full_name.rsplit(".", 1)[-1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
