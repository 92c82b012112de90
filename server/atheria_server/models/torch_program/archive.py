"""A .pt2 file, opened as the zip archive that it is: its records with bounded sizes, its program as JSON.

Read in the front (for the signature) and in the worker. Knows the two layouts: `models/model.json` in a folder of the
archive (torch 2.8 and later) and `serialized_exported_program.json` (2.6 and 2.7).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

MAX_PROGRAM_BYTES: Final = 256 << 20
"""Of the JSON: some hundred thousand operations."""
_MAX_EXPANSION: Final = 50
_SLACK_BYTES: Final = 1 << 20
_OLD: Final = "serialized_exported_program.json"
_NEW: Final = "models/model.json"


class ProgramError(ValueError):
    """The file is no exported program that can be served; the message says what is wrong and what to do."""


class Archive:
    """The records of one file, by their names without the archive's own folder."""

    def __init__(self, path: Path, file: zipfile.ZipFile) -> None:
        """Raises ProgramError."""
        self.name = path.name
        self._file = file
        self._entries: dict[str, zipfile.ZipInfo] = {}
        infos = [info for info in file.infolist() if not info.is_dir()]
        self._check_sizes(infos, path.stat().st_size)
        names = [info.filename for info in infos]
        folder = ""
        if _OLD not in names and names:
            folder = names[0].partition("/")[0] + "/"
        for info in infos:
            key = info.filename.removeprefix(folder)
            if key in self._entries:
                raise ProgramError(f"{self.name} has two records {key!r}; export it again")
            self._entries[key] = info
        if any(name.startswith("data/aotinductor/") for name in self._entries):
            raise ProgramError(
                f"{self.name} holds compiled code (an AOTInductor package), which would be executed as it is; "
                "give the file that torch.export.save wrote"
            )
        self.is_old = _OLD in self._entries
        if not self.is_old and _NEW not in self._entries:
            raise ProgramError(
                f"{self.name} holds no exported program, or is truncated; give the file that torch.export.save wrote"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Of all records."""
        return tuple(self._entries)

    def program(self) -> dict[str, Any]:
        """The program as JSON has it. Raises ProgramError."""
        name = _OLD if self.is_old else _NEW
        if self._entries[name].file_size > MAX_PROGRAM_BYTES:
            raise ProgramError(f"{self.name}: {name} is larger than {MAX_PROGRAM_BYTES} bytes")
        return self.document(name)

    def document(self, name: str) -> dict[str, Any]:
        """A record that is a JSON object. Raises ProgramError."""
        try:
            found = json.loads(self.read(name))
        except (ValueError, RecursionError) as error:
            raise ProgramError(f"{self.name}: {name} is damaged: {error}; copy the file again") from error
        if not isinstance(found, dict):
            raise ProgramError(f"{self.name}: {name} is not an object; export the program again")
        return found

    def read(self, name: str) -> bytes:
        """A record's bytes, checked against their checksum. Raises ProgramError."""
        if name not in self._entries:
            raise ProgramError(f"{self.name} lacks the record {name!r}; export the program again")
        try:
            return self._file.read(self._entries[name])
        except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as error:
            raise ProgramError(f"{self.name}: {name} is damaged: {error}; copy the file again") from error

    def _check_sizes(self, infos: list[zipfile.ZipInfo], file_bytes: int) -> None:
        unpacked = sum(info.file_size for info in infos)
        if unpacked > _MAX_EXPANSION * file_bytes + _SLACK_BYTES:
            raise ProgramError(
                f"{self.name} would unpack to {unpacked} bytes from {file_bytes}; torch.export.save does not pack, "
                "so this is no file of its"
            )


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """The archive. Raises ProgramError."""
    try:
        file = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise ProgramError(
            f"{path.name} is not a .pt2 file or is truncated ({error}); give the file that torch.export.save wrote"
        ) from error
    with file:
        yield Archive(path, file)


def only(union: Mapping[str, Any]) -> tuple[str, Any]:
    """Kind and value of one of the JSON's unions, `{"as_int": 3}`. Raises ProgramError."""
    if not isinstance(union, Mapping) or len(union) != 1:
        raise ProgramError(f"expected one kind of value, got {str(union)[:100]!r}; export the program again")
    return next(iter(union.items()))
