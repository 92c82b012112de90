"""A folder that others write to is used only with a key; everything else says why not."""

from __future__ import annotations

from pathlib import Path

from atheria_contract.optimization import CacheConfig
from atheria_server.optimize.cache_secret import read_secret


def test_a_folder_of_this_pod_alone_needs_no_key(tmp_path: Path) -> None:
    found = read_secret(CacheConfig(directory=str(tmp_path)))
    assert (found.value, found.refusal) == (None, "")


def test_a_shared_folder_needs_one(tmp_path: Path) -> None:
    found = read_secret(CacheConfig(directory=str(tmp_path), is_shared=True))
    assert "there is no cache.key_file" in found.refusal


def test_the_key_is_the_file_without_white_space_around_it(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b" " + b"s" * 32 + b"\n")
    found = read_secret(CacheConfig(directory=str(tmp_path), key_file=str(key), is_shared=True))
    assert (found.value, found.refusal) == (b"s" * 32, "")


def test_a_key_that_is_short_or_missing_is_none(tmp_path: Path) -> None:
    key = tmp_path / "key"
    assert (
        "cannot be read: No such file"
        in read_secret(CacheConfig(directory=str(tmp_path), key_file=str(key))).refusal
    )
    key.write_bytes(b"short")
    assert (
        "holds 5 bytes; a key has at least 16"
        in read_secret(CacheConfig(directory=str(tmp_path), key_file=str(key))).refusal
    )


def test_without_a_folder_nothing_is_kept() -> None:
    assert "cache.directory is empty" in read_secret(CacheConfig()).refusal
