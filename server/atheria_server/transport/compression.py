"""Bodies of HTTP that are packed with gzip or deflate; pure functions.

Tensors hardly compress and packing them costs more than sending them. So an answer is packed only for a caller that
names exactly one coding, as tritonclient does when it is told to; the lists that HTTP libraries send by default say
what a client can read, not what it wants.
"""

from __future__ import annotations

import zlib
from typing import Final

from atheria_server.core.errors import InvalidCallError, TooLargeError

CODINGS: Final = ("gzip", "deflate")
_LEVEL: Final = 1
_GZIP_BITS: Final = 16 + zlib.MAX_WBITS


def unpack(body: bytes, coding: str, max_bytes: int) -> bytes:
    """The body as it was before `content-encoding: coding`. Raises InvalidCallError, TooLargeError.

    Never makes more than `max_bytes`, however well the body was packed.
    """
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in CODINGS:
        raise InvalidCallError(
            f"content-encoding is {coding!r}; allowed: {', '.join(CODINGS)}, identity; send the body unpacked"
        )
    unpacker = zlib.decompressobj(_GZIP_BITS if coding == "gzip" else zlib.MAX_WBITS)
    try:
        data = unpacker.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise InvalidCallError(f"the body is not {coding}: {error}") from error
    if len(data) > max_bytes:
        raise TooLargeError(f"the unpacked body has more than {max_bytes} bytes; at most so many are allowed")
    if not unpacker.eof or unpacker.unused_data:
        raise InvalidCallError(f"the body is not {coding}: it is cut short or something follows it")
    return data


def wanted_coding(accept_encoding: str) -> str | None:
    """The coding that the caller asks for by naming it alone; None = send the answer as it is."""
    coding = accept_encoding.strip().lower()
    return coding if coding in CODINGS else None


def pack(body: bytes, coding: str) -> bytes:
    """For `content-encoding: coding`."""
    packer = zlib.compressobj(_LEVEL, wbits=_GZIP_BITS if coding == "gzip" else zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()
