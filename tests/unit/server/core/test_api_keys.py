"""Which keys a file allows."""

from __future__ import annotations

import hashlib

import pytest

from atheria_server.core.api_keys import ApiKeysError, is_allowed, parse_api_keys


def line(key: str) -> str:
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def test_each_key_of_the_file_is_allowed_and_no_other() -> None:
    digests = parse_api_keys(f"# keys\n\n{line('one')} the notebook\n  {line('two')}\n")
    assert len(digests) == 2
    assert is_allowed("Bearer one", digests)
    assert is_allowed("bearer  two ", digests)
    for wrong in ("", "one", "Basic one", "Bearer ", "Bearer three", f"Bearer {line('one')}", "Bearer öne"):
        assert not is_allowed(wrong, digests), wrong


def test_no_keys_allow_nobody() -> None:
    assert parse_api_keys("# nobody\n") == ()
    assert not is_allowed("Bearer x", ())


@pytest.mark.parametrize("wrong", ["secret", "sha256:abc", line("x").upper(), f"{line('x')}00"])
def test_a_wrong_line_is_named_by_its_number_and_never_shown(wrong: str) -> None:
    with pytest.raises(ApiKeysError, match="line 2 is not sha256:") as refused:
        parse_api_keys(f"# keys\n{wrong}\n")
    assert wrong not in str(refused.value)
