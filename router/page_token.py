"""Page tokens of ListImages: opaque to callers, checked on the way back in."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib

from patchsearch.errors import InvalidArgument

_FORMAT = 1
_HEAD = struct.Struct(">BI")


def encode_page_token(after: str, prefix: str) -> str:
    """A token that continues the listing of `prefix` behind the id `after`.

    Holds a format number, a checksum over both strings, and `after`; URL-safe base64.
    """
    last = after.encode()
    packed = _HEAD.pack(_FORMAT, _checksum(last, prefix)) + last
    return base64.urlsafe_b64encode(packed).decode("ascii")


def decode_page_token(token: str, prefix: str) -> str:
    """The id behind which the listing goes on; "" for an empty token, which is the beginning.

    Raises InvalidArgument PAGE_TOKEN_INVALID for anything that `encode_page_token` did not make for
    the same prefix.
    """
    if not token:
        return ""
    try:
        packed = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        version, checksum = _HEAD.unpack_from(packed)
        last = packed[_HEAD.size :]
        if version == _FORMAT and checksum == _checksum(last, prefix):
            return last.decode()
    except (binascii.Error, struct.error, UnicodeError):
        pass
    raise InvalidArgument(
        "PAGE_TOKEN_INVALID",
        "the page token was not given by this call for this prefix; "
        "start again without one, or send the prefix that the first page was asked with",
    )


def _checksum(last: bytes, prefix: str) -> int:
    return zlib.crc32(prefix.encode() + b"\x00" + last)
