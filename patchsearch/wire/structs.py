"""Metadata: JSON objects <-> google.protobuf.Struct, without losing anything unnoticed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format, struct_pb2

from patchsearch.errors import InvalidArgument

_EXACT = 2**53
"""Integers up to this size survive a Struct, whose numbers are binary64."""


def struct_to_proto(metadata: Mapping[str, Any]) -> struct_pb2.Struct:
    """Packs a JSON object.

    Raises InvalidArgument METADATA_INVALID for what JSON cannot say (other types, NaN, keys that
    are no strings) and for integers that would be rounded, such as times in nanoseconds.
    """
    if not isinstance(metadata, Mapping):
        raise _invalid("metadata", f"is {type(metadata).__name__}; it must be an object")
    message = struct_pb2.Struct()
    try:
        json_format.ParseDict(_checked(metadata, "metadata"), message)
    except (json_format.ParseError, UnicodeError, ValueError) as error:
        raise _invalid("metadata", f"cannot be packed: {error}") from error
    except RecursionError as error:
        raise _invalid("metadata", "is nested too deeply; flatten it") from error
    return message


def struct_from_proto(message: struct_pb2.Struct) -> dict[str, Any]:
    """Unpacks to plain dicts, lists and scalars; numbers without a fraction become int."""
    return {key: _value(value) for key, value in message.fields.items()}


def _checked(value: Any, where: str) -> Any:
    match value:
        case None | bool() | str():
            return value
        case int():
            if abs(value) > _EXACT:
                raise _invalid(where, f"is {value}, which would be rounded; store it as a string")
            return value
        case float():
            if not math.isfinite(value):
                raise _invalid(where, f"is {value}, which JSON cannot say; leave it out")
            return value
        case Mapping():
            for key in value:
                if not isinstance(key, str):
                    raise _invalid(where, f"has the key {key!r}; keys must be strings")
            return {key: _checked(item, f"{where}.{key}") for key, item in value.items()}
        case list() | tuple():
            return [_checked(item, f"{where}[{i}]") for i, item in enumerate(value)]
        case _:
            raise _invalid(
                where,
                f"is of type {type(value).__name__}; use what JSON can say: str, int, float, "
                "bool, None, list, dict",
            )


def _value(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) <= _EXACT else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return struct_from_proto(value.struct_value)
        case "list_value":
            return [_value(item) for item in value.list_value.values]
        case _:
            return None


def _invalid(where: str, what: str) -> InvalidArgument:
    return InvalidArgument("METADATA_INVALID", f"{where} {what}")
