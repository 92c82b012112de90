"""Who may put a model's pod to sleep and wake it: a token that operator and gateway derive and the pod can only check.

Operator and gateway read one key from a Secret of their own namespace. A model's token is HMAC-SHA256 of that key over the model's
name; its pods are told the token's digest in their configuration, which shows nothing of the token or of other models'.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

_SHORTEST_KEY: Final = 32
_PREFIX: Final = "sha256:"


class StandbyKeyError(ValueError):
    """The key cannot be used; the message says what is allowed and how to make one."""


def parse_standby_key(text: str) -> bytes:
    """The key in a file's text, white space around it left out. Raises StandbyKeyError."""
    key = text.strip().encode()
    if len(key) < _SHORTEST_KEY:
        raise StandbyKeyError(
            f"the standby key has {len(key)} bytes, allowed are {_SHORTEST_KEY} and more: make one with `openssl rand -hex 32`"
        )
    return key


def standby_token(key: bytes, namespace: str, model: str) -> str:
    """The token of a model, 64 hexadecimal digits."""
    return hmac.new(key, f"atheria standby {namespace}/{model}".encode(), hashlib.sha256).hexdigest()


def token_digest(token: str) -> str:
    """What a pod is told of a token: `sha256:<hex>`."""
    return _PREFIX + hashlib.sha256(token.encode()).hexdigest()


def is_token(token: str, digest: str) -> bool:
    """Whether `digest` is the token's; in constant time. An empty digest has no token."""
    return bool(digest) and hmac.compare_digest(token_digest(token).encode(), digest.encode())
