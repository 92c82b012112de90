"""What a download needs of the other side: a list of files with versions, and their bytes from an offset.

`http_remote`, `object_remote` and `hub_remote` offer it; `resolve` chooses one and `download` uses it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from atheria_server.sources.source_url import redacted

CHUNK_BYTES: Final = 1 << 20
_URL: Final = re.compile(r"\w+://[^\s'\"<>]+")


class RemoteChangedError(Exception):
    """The file is not the one that was listed any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One file of a source."""

    name: str
    """Below the source's folder; checked."""
    size: int | None
    """Bytes; None = the other side does not say."""
    version: str
    """Changes with the contents: an entity tag, a generation, a time; empty = there is nothing of the kind."""
    locator: str
    """How the remote calls it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a source consists of."""

    files: tuple[RemoteFile, ...]
    is_folder: bool

    @property
    def version(self) -> str:
        """Of all files together; empty where one has none."""
        if any(not file.version for file in self.files):
            return ""
        return "\n".join(f"{file.name} {file.size} {file.version}" for file in self.files)

    @property
    def size(self) -> int | None:
        """Bytes of all files; None = not known."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size or 0 for size in sizes)


class Remote(Protocol):
    """The other side. Raises NotReachableError, and InterruptedDownloadError where trying again may help."""

    def listing(self) -> Listing:
        """The files now."""

    def read(self, file: RemoteFile, offset: int) -> AbstractContextManager[tuple[int, Iterator[bytes]]]:
        """The offset that the bytes begin at (the one asked for, or 0) and the bytes up to the file's end.

        Raises RemoteChangedError as well.
        """


def without_secrets(error: object) -> str:
    """An error's text on one line, its URLs redacted."""
    return " ".join(_URL.sub(lambda found: redacted(found[0]), str(error)).split())[:500]
