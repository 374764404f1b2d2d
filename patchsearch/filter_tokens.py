"""The words of a filter's text form: fields, values, operators."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from patchsearch.errors import InvalidArgument
from patchsearch.field_path import join_path
from patchsearch.filter_check import invalid, shown

KEYWORDS = frozenset(
    ("and", "or", "not", "in", "exists", "startswith", "image_id", "true", "false")
)
"""Words that are no fields unless they are in quotes."""

_STRING = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
_DIGIT = "[0-9]"
_ESCAPE = r"\\[.\\]"
_TOKEN = re.compile(
    rf"""
    (?P<time>   {_DIGIT}{{4}}-{_DIGIT}{{2}}-{_DIGIT}{{2}} [\w:.+-]* )
  | (?P<number> [+-]? {_DIGIT}+ (?:\.{_DIGIT}+)? (?:[eE][+-]?{_DIGIT}+)? )
  | (?P<name>   (?:{_STRING} | (?:[^\W\d]|{_ESCAPE}) (?:[\w-]|{_ESCAPE})*)
                (?: \. (?:{_STRING} | (?:[\w-]|{_ESCAPE})+))* )
  | (?P<symbol> <= | >= | == | != | [=<>(),] )
    """,
    re.VERBOSE | re.DOTALL,
)
_KEY = re.compile(rf"{_STRING}|(?:[^.\\]|{_ESCAPE})+", re.DOTALL)
_WHOLE_STRING = re.compile(_STRING, re.DOTALL)
_PLAIN_PATH = re.compile(r"[^\W\d][\w-]*")
_PLAIN_KEY = re.compile(r"[\w-]+")
_SPACE = re.compile(r"\s*")
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[Tt](?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)


class Kind(Enum):
    """What a token is."""

    TIME = auto()
    NUMBER = auto()
    NAME = auto()
    """A field, a keyword, or a string."""
    SYMBOL = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text, and where it begins, from 0."""

    kind: Kind
    text: str
    start: int

    @property
    def is_string(self) -> bool:
        """Whether it is one string in quotes, which is a field too where a field is expected."""
        return self.kind is Kind.NAME and _WHOLE_STRING.fullmatch(self.text) is not None


def tokens_of(text: str) -> Sequence[Token]:
    """The tokens of a text, the end among them.

    Raises InvalidArgument FILTER_INVALID where something is no token.
    """
    tokens = []
    at = _after_space(text, 0)
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            if text[at] in "\"'":
                raise cannot_read(at, "the string that begins here has no end; close its quotes")
            raise cannot_read(
                at, f"{shown(text[at])} means nothing here; put strings and odd names in quotes"
            )
        tokens.append(Token(Kind[(match.lastgroup or "").upper()], match[0], at))
        at = _after_space(text, match.end())
    return (*tokens, Token(Kind.END, "", len(text)))


def cannot_read(at: int, what: str) -> InvalidArgument:
    """The error of a text that is no filter from the character `at` on, counted from 0."""
    return invalid(f"filter, character {at + 1}: {what}")


def path_of(token: Token) -> str:
    """The field path that a name token writes."""
    return join_path([_key(part, token) for part in _KEY.findall(token.text)])


def field_text(keys: Sequence[str]) -> str:
    """How keys are written as a name token; the inverse of `path_of`."""
    plain = len(keys) > 1 or keys[0] not in KEYWORDS
    first = keys[0] if plain and _PLAIN_PATH.fullmatch(keys[0]) else string_text(keys[0])
    rest = (key if _PLAIN_KEY.fullmatch(key) else string_text(key) for key in keys[1:])
    return ".".join((first, *rest))


def string_of(token: Token) -> str:
    """The string that a token in quotes writes, with JSON's escapes, and \\' in single quotes."""
    return _unquoted(token.text, token.start)


def string_text(value: str) -> str:
    """How a string is written as a token; the inverse of `string_of`."""
    return json.dumps(value, ensure_ascii=False)


def number_of(token: Token) -> float:
    """The number that a token writes."""
    try:
        return int(token.text)
    except ValueError:
        return float(token.text)


def time_of(token: Token) -> datetime:
    """The time that a token writes."""
    if _TIME.fullmatch(token.text):
        try:
            return datetime.fromisoformat(token.text.upper())
        except ValueError:
            pass
    raise cannot_read(
        token.start,
        f"{shown(token.text)} is no time; write date, time to the microsecond at most, and zone: "
        "2022-03-01T10:15:00Z",
    )


def _after_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return at if space is None else space.end()


def _key(part: str, token: Token) -> str:
    if part[0] in "\"'":
        return _unquoted(part, token.start)
    return re.sub(_ESCAPE, lambda escape: escape[0][1], part)


def _unquoted(quoted: str, at: int) -> str:
    body = re.sub(r"""\\.|["]""", _as_json, quoted[1:-1], flags=re.DOTALL)
    try:
        return str(json.loads(f'"{body}"', strict=False))
    except json.JSONDecodeError:
        raise cannot_read(
            at, f"the string {shown(quoted)} has a bad escape; write a backslash twice"
        ) from None


def _as_json(match: re.Match[str]) -> str:
    # A double quote needs no escape in single quotes, where it can only be bare.
    return {"\\'": "'", '"': '\\"'}.get(match[0], match[0])
