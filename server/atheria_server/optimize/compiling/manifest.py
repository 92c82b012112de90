"""The signed list of what an entry of compiled code contains. Pure but for hashing; used by `entry`.

Compiled code is executed by who loads it. So an entry counts only if everything about it is listed, every listed file has
its digest, and, where a key is configured, the list is signed with it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any, Final

FORMAT: Final = 1
MAX_FILES: Final = 20_000
MAX_BYTES: Final = 4 * 2**30
"""Of all files of an entry together."""
_CONTEXT: Final = b"atheria compiled code 1\n"
"""Signed with the manifest, so that a signature made for something else never counts."""


class EntryError(ValueError):
    """An entry must not be used; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of an entry."""

    path: str
    """Relative, with `/`."""
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an entry contains and where it is from."""

    key: str
    facts: Mapping[str, Any]
    """That the key was made from."""
    warm_seconds: float
    """That the first pod took for what this entry saves."""
    files: tuple[FileEntry, ...]

    def to_json(self) -> bytes:
        """As it is stored and signed."""
        document = {"format": FORMAT, **asdict(self)}
        return json.dumps(document, sort_keys=True, indent=1).encode()


def parse_manifest(text: bytes) -> Manifest:
    """A manifest within all bounds. Raises EntryError."""
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise EntryError(f"the manifest has format {document['format']!r}, expected {FORMAT}")
        files = tuple(
            FileEntry(path=str(f["path"]), size_bytes=int(f["size_bytes"]), sha256=str(f["sha256"]))
            for f in document["files"]
        )
        manifest = Manifest(
            key=str(document["key"]),
            facts=dict(document["facts"]),
            warm_seconds=float(document["warm_seconds"]),
            files=files,
        )
    except (ValueError, OverflowError, RecursionError, KeyError, TypeError) as error:
        if isinstance(error, EntryError):
            raise
        raise EntryError(f"the manifest cannot be read: {error}") from error
    for file in files:
        _check_path(file.path)
    if len({file.path for file in files}) != len(files):
        raise EntryError("the manifest names a file twice")
    total = sum(file.size_bytes for file in files)
    if len(files) > MAX_FILES or total > MAX_BYTES or any(file.size_bytes < 0 for file in files):
        raise EntryError(
            f"the manifest lists {len(files)} files of {total} bytes; at most {MAX_FILES} of {MAX_BYTES} are allowed"
        )
    return manifest


def sign(manifest: bytes, secret: bytes) -> str:
    """HMAC-SHA256, hexadecimal."""
    return hmac.new(secret, _CONTEXT + manifest, hashlib.sha256).hexdigest()


def check_signature(manifest: bytes, signature: str, secret: bytes) -> None:
    """Raise EntryError unless `signature` is that of `manifest`."""
    if not hmac.compare_digest(sign(manifest, secret).encode(), signature.strip().encode()):
        raise EntryError("the signature is not that of this manifest and the configured key")


def _check_path(path: str) -> None:
    parts = PurePosixPath(path).parts
    if (
        not parts
        or path.startswith("/")
        or "\\" in path
        or "\0" in path
        or any(p in ("..", ".") for p in parts)
    ):
        raise EntryError(f"the manifest names {path!r}; only files inside the entry are allowed")
    if "/".join(parts) != path:
        raise EntryError(f"the manifest names {path!r}; expected {'/'.join(parts)!r}")
