"""Results as JSON: the dataclasses' own field names, so that scripts can rely on them."""

from __future__ import annotations

import datetime
import enum
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import typer

from patchsearch.errors import PatchsearchError


def plain(value: Any) -> Any:
    """The value as what `json` can write: bytes in hex, times in ISO 8601, errors as objects."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, PatchsearchError):
        return {"code": value.code, "reason": value.reason, "message": value.message}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return value


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Prints one JSON document; `indent` None puts it on one line."""
    typer.echo(json.dumps(plain(value), indent=indent, ensure_ascii=False))
