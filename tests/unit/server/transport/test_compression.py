"""Packed bodies of HTTP."""

from __future__ import annotations

import gzip
import zlib

import pytest

from atheria_server.core.errors import InvalidCallError, TooLargeError
from atheria_server.transport.compression import CODINGS, pack, unpack, wanted_coding


@pytest.mark.parametrize("coding", CODINGS)
def test_what_is_packed_is_unpacked_again(coding: str) -> None:
    body = b"tensor" * 1000
    packed = pack(body, coding)
    assert len(packed) < len(body) // 10
    assert unpack(packed, coding, len(body)) == body


def test_the_codings_are_those_that_http_means() -> None:
    assert gzip.decompress(pack(b"x", "gzip")) == b"x"
    assert zlib.decompress(pack(b"x", "deflate")) == b"x"


def test_a_small_body_that_unpacks_to_a_huge_one_is_refused() -> None:
    bomb = gzip.compress(bytes(10_000_000))
    with pytest.raises(TooLargeError, match="more than 1000 bytes"):
        unpack(bomb, "gzip", 1000)


@pytest.mark.parametrize(
    ("body", "coding", "words"),
    [
        (b"plain", "gzip", "not gzip"),
        (gzip.compress(b"abc", mtime=0)[:-3], "gzip", "cut short"),
        (gzip.compress(b"abc", mtime=0) + b"more", "gzip", "something follows"),
        (b"x", "br", "content-encoding is 'br'; allowed: gzip, deflate"),
    ],
)
def test_a_body_that_is_not_what_it_says_is_refused(body: bytes, coding: str, words: str) -> None:
    with pytest.raises(InvalidCallError, match=words):
        unpack(body, coding, 1000)


def test_only_a_caller_that_names_one_coding_gets_it() -> None:
    assert wanted_coding("gzip") == "gzip"
    assert wanted_coding(" Deflate ") == "deflate"
    assert wanted_coding("gzip, deflate, br") is None
    assert wanted_coding("") is None
    assert wanted_coding("br") is None
