"""Keys that callers show; pure. The server knows only their SHA-256: a leaked file or log lets nobody in.

Keys are long random texts (`openssl rand -hex 32`), so a plain hash is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Final

_LINE: Final = re.compile(r"sha256:([0-9a-f]{64})(?:\s+(\S.*))?")
_BEARER: Final = "bearer "


class ApiKeysError(ValueError):
    """The file of keys cannot be used; the message names the line and never its contents."""


def parse_api_keys(text: str) -> tuple[bytes, ...]:
    """Digests of a file with one `sha256:<64 hex>` a line, a name may follow; `#` begins a comment. Raises ApiKeysError."""
    digests = []
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
        digests.append(bytes.fromhex(found[1]))
    return tuple(digests)


def is_allowed(authorization: str, digests: Sequence[bytes]) -> bool:
    """Whether `Bearer KEY` holds one of the keys; takes equally long whichever it is."""
    if not authorization.lower().startswith(_BEARER):
        return False
    key = authorization[len(_BEARER) :].strip()
    shown = hashlib.sha256(key.encode()).digest()
    matches = [hmac.compare_digest(shown, digest) for digest in digests]
    return any(matches)
