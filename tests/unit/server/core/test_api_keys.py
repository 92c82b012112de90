"""Which keys a file allows, and whose they are."""

from __future__ import annotations

import hashlib

import pytest

from atheria_server.core.api_keys import ApiKeysError, find_key, parse_api_keys


def line(key: str) -> str:
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def test_each_key_of_the_file_is_known_by_its_name_and_no_other() -> None:
    keys = parse_api_keys(f"# keys\n\n{line('one')} the notebook\n  {line('two')}\n")
    assert [key.name for key in keys] == ["the notebook", ""]
    assert find_key("Bearer one", keys) == keys[0]
    assert find_key("bearer  two ", keys) == keys[1]
    for wrong in ("", "one", "Basic one", "Bearer ", "Bearer three", f"Bearer {line('one')}", "Bearer öne"):
        assert find_key(wrong, keys) is None, wrong


def test_no_keys_allow_nobody() -> None:
    assert parse_api_keys("# nobody\n") == ()
    assert find_key("Bearer x", ()) is None


@pytest.mark.parametrize("wrong", ["secret", "sha256:abc", line("x").upper(), f"{line('x')}00"])
def test_a_wrong_line_is_named_by_its_number_and_never_shown(wrong: str) -> None:
    with pytest.raises(ApiKeysError, match="line 2 is not sha256:") as refused:
        parse_api_keys(f"# keys\n{wrong}\n")
    assert wrong not in str(refused.value)


def test_the_digest_of_an_empty_key_lets_nobody_in_but_is_refused() -> None:
    with pytest.raises(ApiKeysError, match="line 1 is the digest of an empty key"):
        parse_api_keys(line("") + "\n")
