"""docs/filters.md: its examples run, and say the same in every form."""

from __future__ import annotations

import re
from pathlib import Path

from google.protobuf import json_format

from patchsearch import errors, filter_field, filters, parse_filter
from patchsearch.filters import Filter
from patchsearch.v1 import types_pb2
from patchsearch.wire.filters import filter_from_proto

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "filters.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def built(code: str) -> Filter:
    names: dict[str, object] = {}
    exec(code, names)
    return names["snowy"]  # type: ignore[return-value]


def test_the_three_forms_say_the_same() -> None:
    message = json_format.Parse(block("json"), types_pb2.Filter())
    assert built(block("python")) == parse_filter(block("text")) == filter_from_proto(message)


def test_each_row_of_conditions_says_the_same_as_text_and_in_python() -> None:
    rows = re.findall(r"^\| `([^`]+)`[^|]* \| `((?:Field|NumberRange|Image)[^`]*)` \|", PAGE, re.M)
    assert len(rows) == 8
    given = "from datetime import UTC, datetime\n"
    names = {**vars(filters), **vars(filter_field)}
    exec(given, names)
    for text, code in rows:
        assert parse_filter(text) == eval(code, names), text


def test_the_error_that_is_shown_is_the_error() -> None:
    try:
        parse_filter("weather = snow")
    except errors.InvalidArgument as error:
        assert f"patchsearch: {error}\n" in PAGE
