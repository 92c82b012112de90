"""Keys that callers show; pure. The server knows only their SHA-256: a leaked file or log lets nobody in.

Keys are long random texts (`openssl rand -hex 32`), so a plain hash is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_LINE: Final = re.compile(r"sha256:([0-9a-f]{64})(?:\s+(\S.*))?")
_BEARER: Final = "bearer "
_NOTHING: Final = hashlib.sha256(b"").digest()


class ApiKeysError(ValueError):
    """The file of keys cannot be used; the message names the line and never its contents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One line of the file."""

    digest: bytes
    """SHA-256 of the key."""
    name: str = ""
    """Whose key it is; several keys may have one name."""


def parse_api_keys(text: str) -> tuple[ApiKey, ...]:
    """Keys of a file with one `sha256:<64 hex>` a line, a name may follow; `#` begins a comment. Raises ApiKeysError."""
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        found = _LINE.fullmatch(stripped)
        if found is None:
            raise ApiKeysError(
                f"line {number} is not sha256:<64 lowercase hex digits> and perhaps a name; "
                "make one with: printf %s KEY | sha256sum"
            )
        digest = bytes.fromhex(found[1])
        if digest == _NOTHING:
            raise ApiKeysError(
                f"line {number} is the digest of an empty key; was the variable that held the key empty?"
            )
        keys.append(ApiKey(digest=digest, name=found[2] or ""))
    return tuple(keys)


def find_key(authorization: str, keys: Sequence[ApiKey]) -> ApiKey | None:
    """The one of `keys` that `Bearer KEY` holds, or None; takes equally long whichever it is."""
    if not authorization.lower().startswith(_BEARER):
        return None
    shown = hashlib.sha256(authorization[len(_BEARER) :].strip().encode()).digest()
    matches = [key for key in keys if hmac.compare_digest(shown, key.digest)]
    return matches[0] if matches else None
