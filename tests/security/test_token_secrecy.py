"""What can be learned about tokens: nothing from the file, the clock, logs or answers."""

from __future__ import annotations

import ast
import inspect
import json
import stat
import textwrap
from pathlib import Path

import pytest

from patchsearch.errors import InvalidArgument, Unauthenticated
from patchsearch.wire.security import ChannelSecurity
from service_runtime.clients import open_channel
from service_runtime.roles import Role
from service_runtime.token_file import hash_of, new_token
from service_runtime.tokens import TokenBook
from tests.security.conftest import Tokens


def test_the_file_holds_hashes_only_and_is_its_owners(tokens: Tokens) -> None:
    token = tokens.add(Role.READER)

    assert token not in tokens.file.read_text()
    assert token.removeprefix("ps_") not in tokens.file.read_text()
    assert json.loads(tokens.file.read_text())["tokens"][0]["sha256"] == hash_of(token)
    assert stat.S_IMODE(tokens.file.stat().st_mode) == 0o600


def test_a_token_is_256_random_bits() -> None:
    made = {new_token() for _ in range(1000)}

    assert len(made) == 1000
    assert {len(token) for token in made} == {3 + 43}


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: t + "a", str.lower, str.upper])
def test_nearly_a_token_is_none(change: object, tokens: Tokens) -> None:
    token = tokens.add(Role.READER)
    book = TokenBook(tokens.file)
    assert book.find(token).entry.role is Role.READER

    with pytest.raises(Unauthenticated, match="TOKEN_INVALID"):
        book.find(change(token))  # type: ignore[operator]


def test_hashes_are_compared_in_constant_time_and_all_of_them() -> None:
    tree = ast.parse(textwrap.dedent(inspect.getsource(TokenBook.find)))
    called = {node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call)
              if isinstance(node.func, ast.Attribute)}  # fmt: skip
    # `==` on a hash would stop at the first difference, a `break` at the first match.
    compared = [
        node for node in ast.walk(tree) if isinstance(node, ast.Compare)
        if any(isinstance(op, ast.Eq | ast.NotEq | ast.In) for op in node.ops)
    ]  # fmt: skip
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.Break)]

    assert "compare_digest" in called
    assert compared == []
    assert loops == []


def test_a_token_is_not_shown_where_settings_are() -> None:
    assert "secret" not in repr(ChannelSecurity(token="secret"))


def test_a_token_does_not_travel_in_the_clear() -> None:
    with pytest.raises(InvalidArgument, match="TOKEN_WITHOUT_TLS"):
        open_channel("192.0.2.7:7100", security=ChannelSecurity(token="secret"))

    proxied = ChannelSecurity(token="secret", plaintext_token=True)
    open_channel("192.0.2.7:7100", security=proxied).close()
    open_channel("127.0.0.1:7100", security=ChannelSecurity(token="secret")).close()


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "zu groß"])
def test_what_is_no_word_is_no_token(token: str) -> None:
    with pytest.raises(InvalidArgument, match="TOKEN_MALFORMED"):
        ChannelSecurity(token=token).metadata()


def test_a_token_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("ps_abc\n")

    security = ChannelSecurity(token_file=tmp_path / "token")

    assert security.metadata() == (("authorization", "Bearer ps_abc"),)
