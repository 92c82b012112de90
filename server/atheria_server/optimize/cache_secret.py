"""The secret that signs what is kept where others write, too. Used for verdicts and for compiled code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atheria_contract.optimization import CacheConfig

MIN_SECRET_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSecret:
    """Whether the cache's folder may be trusted, and by what."""

    value: bytes | None = None
    """None = nothing is signed: the folder is this pod's own, or cannot be used."""
    refusal: str = ""
    """Why nothing may be kept there; empty = it may."""


def read_secret(config: CacheConfig) -> CacheSecret:
    """Of `cache.key_file`; a folder that others write to is of no use without one."""
    if not config.directory:
        return CacheSecret(refusal="cache.directory is empty: what is made ends with this process")
    if not config.key_file:
        if config.is_shared:
            return CacheSecret(
                refusal="others write to cache.directory and there is no cache.key_file: unsigned entries are not used"
            )
        return CacheSecret()
    try:
        value = Path(config.key_file).read_bytes().strip()
    except OSError as error:
        return CacheSecret(refusal=f"cache.key_file {config.key_file} cannot be read: {error.strerror}")
    if len(value) < MIN_SECRET_BYTES:
        return CacheSecret(
            refusal=f"cache.key_file holds {len(value)} bytes; a key has at least {MIN_SECRET_BYTES}"
        )
    return CacheSecret(value=value)
