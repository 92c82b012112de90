"""The digest of a file, and of a folder: what `--digest` and `spec.model.digest` compare.

A folder's digest is that of the text that `sha256sum` prints for its files, sorted by name:

    cd FOLDER && find -L . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum

Called by `resolve` after a download and by the models before they load.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Final

from atheria_server.sources.errors import UnusableSourceError, WrongDigestError

MAX_FILES: Final = 10_000
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


def check_digest(path: Path, expected: str) -> None:
    """Compare with `sha256:<hex>`; empty = nothing to compare. Raises UnusableSourceError."""
    if not expected:
        return
    check_digest_form(expected)
    found = digest_of(path)
    if found != expected:
        raise WrongDigestError(
            f"{path.name} has digest {found}, expected {expected}; restore the files or correct the digest"
        )


def check_digest_form(digest: str) -> None:
    """Raises UnusableSourceError for a text that no file can have as its digest."""
    if digest and not _DIGEST.fullmatch(digest):
        raise UnusableSourceError(f"digest is {digest!r}; expected sha256: and 64 hexadecimal digits")


def digest_of(path: Path) -> str:
    """`sha256:<hex>` of a file or of a folder. Raises OSError, and UnusableSourceError for a folder's odd entries."""
    if path.is_dir():
        lines = (f"{_hexadecimal(path / name)}  {name}\n" for name in files_below(path))
        return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()
    return "sha256:" + _hexadecimal(path)


def files_below(folder: Path) -> list[str]:
    """Names of the files of a folder and its folders, sorted by their bytes; links to files count as files."""
    names: list[str] = []
    for at, folders, files in os.walk(folder):
        if linked := [name for name in folders if (Path(at) / name).is_symlink()]:
            raise UnusableSourceError(
                f"{Path(at) / linked[0]} is a link to a folder; put the folder itself there"
            )
        names += [(Path(at) / name).relative_to(folder).as_posix() for name in files]
        if len(names) > MAX_FILES:
            raise UnusableSourceError(
                f"{folder} holds more than {MAX_FILES} files; give the model's own folder"
            )
    return sorted(names, key=os.fsencode)


def _hexadecimal(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
