"""One entry of compiled code on disk: `manifest.json`, `manifest.sig` and `content.tar`. Used by `CompileCache`.

`pack` writes an entry into a folder that nobody reads yet; `unpack` takes one apart, and leaves nothing behind of one that
is not exactly what its manifest says.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

from atheria_server.optimize.compiling.manifest import (
    EntryError,
    FileEntry,
    Manifest,
    check_signature,
    parse_manifest,
    sign,
)

MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
CONTENT: Final = "content.tar"
MAX_MANIFEST_BYTES: Final = 16 * 2**20
_CHUNK_BYTES: Final = 2**20
_LEFT_OUT: Final = (".lock", ".tmp", ".pid")
"""Ends of the names of files that only the process that made them needs."""


def pack(
    source: Path,
    entry: Path,
    *,
    key: str,
    facts: Mapping[str, Any],
    warm_seconds: float,
    secret: bytes | None,
) -> Manifest:
    """Write all files below `source` as an entry into the folder `entry`, and flush it. Raises OSError."""
    with (entry / CONTENT).open("xb") as out:
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            files = tuple(_add(archive, source, path) for path in _files_below(source))
        _flush(out)
    manifest = Manifest(key=key, facts=facts, warm_seconds=warm_seconds, files=files)
    text = manifest.to_json()
    parse_manifest(text)
    _write(entry / MANIFEST, text)
    if secret is not None:
        _write(entry / SIGNATURE, sign(text, secret).encode())
    flush_folder(entry)
    return manifest


def read_manifest(entry: Path, *, secret: bytes | None) -> Manifest:
    """The manifest, its signature checked where there is a secret. Raises EntryError and OSError."""
    with (entry / MANIFEST).open("rb") as file:
        text = file.read(MAX_MANIFEST_BYTES + 1)
    if len(text) > MAX_MANIFEST_BYTES:
        raise EntryError(f"the manifest is larger than {MAX_MANIFEST_BYTES} bytes")
    if secret is not None:
        try:
            signature = (entry / SIGNATURE).read_text("ascii")
        except (FileNotFoundError, UnicodeDecodeError):
            raise EntryError("it has no signature, and a key is configured") from None
        check_signature(text, signature, secret)
    return parse_manifest(text)


def unpack(entry: Path, manifest: Manifest, target: Path) -> None:
    """Make `target` a folder with exactly the manifest's files. Raises EntryError and OSError; then there is no `target`."""
    wanted = {file.path: file for file in manifest.files}
    target.mkdir(parents=True)
    try:
        with (entry / CONTENT).open("rb") as content, tarfile.open(fileobj=content, mode="r:") as archive:
            for member in archive:
                file = wanted.pop(member.name, None)
                if file is None or not member.isreg() or member.size != file.size_bytes:
                    raise EntryError(f"the content has {member.name!r}, which is not what the manifest lists")
                data = archive.extractfile(member)
                if data is None:
                    raise EntryError(f"the content of {member.name!r} is missing")
                _extract(data, file, target)
        if wanted:
            raise EntryError(f"the content lacks {next(iter(wanted))!r} and {len(wanted) - 1} more files")
    except (tarfile.TarError, EOFError) as error:
        shutil.rmtree(target, ignore_errors=True)
        raise EntryError(f"the content cannot be read: {error}") from error
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def flush_folder(folder: Path) -> None:
    """Make the names in a folder outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files_below(source: Path) -> list[Path]:
    return sorted(
        path
        for path in source.rglob("*")
        if path.is_file() and not path.is_symlink() and not path.name.endswith(_LEFT_OUT)
    )


def _add(archive: tarfile.TarFile, source: Path, path: Path) -> FileEntry:
    """Through memory: the digest must be of the very bytes that are packed."""
    name, data = path.relative_to(source).as_posix(), path.read_bytes()
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o644
    archive.addfile(member, io.BytesIO(data))
    return FileEntry(path=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def _extract(data: IO[bytes], file: FileEntry, target: Path) -> None:
    path = target / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with path.open("xb") as out:
        while chunk := data.read(_CHUNK_BYTES):
            digest.update(chunk)
            out.write(chunk)
    if digest.hexdigest() != file.sha256:
        raise EntryError(f"the content of {file.path!r} has another digest than the manifest says")


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as out:
        out.write(data)
        _flush(out)


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
