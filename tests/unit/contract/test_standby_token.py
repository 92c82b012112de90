"""Tokens of models in standby: only who has the key can make them, and a digest is enough to check one."""

from __future__ import annotations

import pytest

from atheria_contract.standby import StandbyKeyError, is_token, parse_standby_key, standby_token, token_digest

KEY = parse_standby_key("0123456789abcdef" * 4 + "\n")


def test_a_token_fits_its_digest_and_no_other() -> None:
    token = standby_token(KEY, "demo", "qca")
    digest = token_digest(token)
    assert is_token(token, digest)
    assert not is_token(standby_token(KEY, "demo", "other"), digest)
    assert not is_token(standby_token(KEY, "other", "qca"), digest)
    assert not is_token(standby_token(b"another key, just as long as that", "demo", "qca"), digest)
    assert token not in digest


@pytest.mark.parametrize("token", ["", "ü", "sha256:"])
def test_without_a_digest_and_for_nonsense_there_is_no_token(token: str) -> None:
    assert not is_token(token, "")
    assert not is_token(token, token_digest("x"))


def test_a_short_key_is_refused_with_how_to_make_one() -> None:
    with pytest.raises(StandbyKeyError, match=r"has 5 bytes, allowed are 32 and more.*openssl rand"):
        parse_standby_key(" short\n")
