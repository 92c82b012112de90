"""Weights that ship with the package or that a person names: read whole, and checked by digest before their contents.

Called by the built-in models. A file is data only: nothing in it is executed.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

from atheria_server.core.errors import DIGEST_MISMATCH, WEIGHTS_INVALID


class WeightsError(ValueError):
    """The weights cannot be used; the message names the file, what was found and what was expected."""

    reason = WEIGHTS_INVALID


class DigestError(WeightsError):
    """They are not the ones that were asked for."""

    reason = DIGEST_MISMATCH


def digest_of(data: bytes) -> str:
    """`sha256:<64 hex digits>` of a file's bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def check_digest(data: bytes, expected: str, name: str) -> None:
    """Raise DigestError unless the bytes of file `name` have the expected digest."""
    found = digest_of(data)
    if found != expected:
        raise DigestError(
            f"{name} has digest {found}, expected {expected}; restore the file or correct the digest"
        )


def read_shipped(package: str | None, file: str) -> bytes:
    """A file in the folder `weights` of an installed package."""
    return resources.files(package or "").joinpath("weights", file).read_bytes()


def read_named(path: str) -> bytes:
    """A file that a person named. Raises WeightsError."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise WeightsError(
            f"weights {path} cannot be read: {error.strerror}; expected a safetensors file"
        ) from error
