from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchsearch.errors import InvalidArgument
from router.page_token import decode_page_token, encode_page_token


@given(st.text(), st.text())
def test_a_token_comes_back_as_the_id_it_was_made_of(after: str, prefix: str) -> None:
    token = encode_page_token(after, prefix)
    assert token.isascii()
    assert decode_page_token(token, prefix) == after


def test_no_token_is_the_beginning() -> None:
    assert decode_page_token("", "any") == ""


@pytest.mark.parametrize(
    "token",
    [
        "nonsense",
        "ä",
        "====",
        base64.urlsafe_b64encode(b"\x01").decode(),
        base64.urlsafe_b64encode(b"\x01\x00\x00\x00\x00abc").decode(),
        encode_page_token("a", "another prefix"),
        "B" + encode_page_token("a", "p")[1:],
        encode_page_token("a", "p") + "\n",
    ],
)
def test_what_this_call_did_not_give_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode_page_token(token, "p")
    assert caught.value.reason == "PAGE_TOKEN_INVALID"
