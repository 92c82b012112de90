"""Brings the files of a listing into a folder: resumed where an earlier try ended, bounded in bytes and in time.

Called by `resolve`, which holds the lock of the folder. The folder is

    manifest.json   the version of each file that is being fetched
    parts/NAME      of a file that is not whole yet
    files/NAME      whole files
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from atheria_server.sources.errors import InterruptedDownloadError, NotReachableError, UnusableSourceError
from atheria_server.sources.limits import DownloadLimits
from atheria_server.sources.progress import Progress, Transfer
from atheria_server.sources.remote import Listing, Remote, RemoteFile

T = TypeVar("T")
FILES: Final = "files"
_PARTS: Final = "parts"
_MANIFEST: Final = "manifest.json"
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


def fetch(
    remote: Remote, listing: Listing, folder: Path, *, shown: str, limits: DownloadLimits, progress: Progress
) -> int:
    """The bytes that were transferred; afterwards `folder/files` holds every file of the listing.

    Raises NotReachableError, UnusableSourceError, and RemoteChangedError where a file is not the listed one any more.
    """
    if listing.size is not None and listing.size > limits.max_bytes:
        raise _too_large(shown, limits)
    try:
        _forget_other_versions(folder, listing)
        return _Download(remote, listing, folder, shown, limits, progress).run()
    except OSError as error:
        if error.errno not in _FULL:
            raise
        shutil.rmtree(folder, ignore_errors=True)
        needed = "" if listing.size is None else f" of {listing.size} bytes"
        raise UnusableSourceError(
            f"no space left in {folder.parent} for {shown}{needed}; "
            "give the cache a larger volume, or remove older models from it"
        ) from error


def with_retries(what: Callable[[], T], *, shown: str, limits: DownloadLimits) -> T:
    """`what()`, again after a transfer that ended early. Raises NotReachableError after the last try."""
    for attempt in range(limits.attempts):
        try:
            return what()
        except InterruptedDownloadError as error:
            if attempt + 1 == limits.attempts:
                raise _gave_up(shown, limits, error) from error
            time.sleep(limits.pause_seconds * 2**attempt)
    raise AssertionError("attempts is at least 1")


class _Download:
    def __init__(
        self,
        remote: Remote,
        listing: Listing,
        folder: Path,
        shown: str,
        limits: DownloadLimits,
        progress: Progress,
    ) -> None:
        self._remote = remote
        self._listing = listing
        self._folder = folder
        self._shown = shown
        self._limits = limits
        self._progress = progress
        self._began = time.monotonic()
        self._next_report = limits.report_seconds
        self._present = 0
        """Bytes of all files that are there."""
        self._transferred = 0

    def run(self) -> int:
        for file in self._listing.files:
            self._present += max(_size(self._whole(file)), _size(self._part(file)))
        self._check_space()
        self._report("resuming" if self._present else "downloading")
        for file in self._listing.files:
            if not self._whole(file).exists():
                self._fetch(file)
        self._report("done")
        return self._transferred

    def _fetch(self, file: RemoteFile) -> None:
        part, whole = self._part(file), self._whole(file)
        part.parent.mkdir(parents=True, exist_ok=True)
        whole.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        failures = 0
        while True:
            before = self._transferred
            try:
                self._continue(file, part)
                break
            except InterruptedDownloadError as error:
                failures = 1 if self._transferred > before else failures + 1
                if failures == self._limits.attempts:
                    raise _gave_up(self._shown, self._limits, error) from error
                self._check_time()
                time.sleep(self._limits.pause_seconds * 2 ** (failures - 1))
        part.rename(whole)

    def _continue(self, file: RemoteFile, part: Path) -> None:
        offset = part.stat().st_size if file.version else 0
        if file.size is not None:
            if offset == file.size:
                return
            offset = offset if offset < file.size else 0
        with self._remote.read(file, offset) as (start, chunks), part.open("r+b") as out:
            self._present -= part.stat().st_size - start
            out.truncate(start)
            out.seek(start)
            for chunk in chunks:
                out.write(chunk)
                self._transferred += len(chunk)
                self._present += len(chunk)
                if self._present > self._limits.max_bytes or (
                    file.size is not None and out.tell() > file.size
                ):
                    raise _too_large(self._shown, self._limits)
                self._check_time()
                seconds = time.monotonic() - self._began
                if seconds >= self._next_report:
                    # Not added up: after a stall there would be one report for each chunk.
                    self._next_report = seconds + self._limits.report_seconds
                    self._report("downloading")
            written = out.tell()
            out.flush()
            os.fsync(out.fileno())
        if file.size is not None and written < file.size:
            raise InterruptedDownloadError(f"the connection ended after {written} of {file.size} bytes")

    def _check_space(self) -> None:
        if self._listing.size is None:
            return
        needed = self._listing.size - self._present
        if needed > shutil.disk_usage(self._folder).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _check_time(self) -> None:
        seconds = time.monotonic() - self._began
        if seconds > self._limits.total_seconds:
            raise NotReachableError(
                f"{self._shown} has {self._present} bytes after {seconds:.0f} s, more than is allowed; "
                "the bytes are kept: start again, or raise ATHERIA_SOURCE_SECONDS"
            )

    def _report(self, state: str) -> None:
        self._progress(
            Transfer(
                source=self._shown,
                state=state,
                done_bytes=self._present,
                total_bytes=self._listing.size,
                seconds=time.monotonic() - self._began,
            )
        )

    def _part(self, file: RemoteFile) -> Path:
        return self._folder / _PARTS / file.name

    def _whole(self, file: RemoteFile) -> Path:
        return self._folder / FILES / file.name


def bytes_below(folder: Path) -> int:
    """Of all files of a download so far; for those that wait for it."""
    return sum(
        _size(path) for part in (_PARTS, FILES) for path in (folder / part).rglob("*") if path.is_file()
    )


def total_below(folder: Path) -> int | None:
    """Bytes of all files of a download once it is whole, as it was listed; None = not known. As `bytes_below`."""
    try:
        sizes = [size for size, _ in json.loads((folder / _MANIFEST).read_text(encoding="utf-8")).values()]
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return None if None in sizes else sum(sizes)


def _forget_other_versions(folder: Path, listing: Listing) -> None:
    """Keep only bytes of the versions that are listed now."""
    manifest = folder / _MANIFEST
    try:
        known = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = None
    now = {file.name: [file.size, file.version] for file in listing.files}
    if not isinstance(known, dict) or set(known) != set(now):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        for name, entry in known.items():
            if entry != now[name] or not entry[1]:
                (folder / _PARTS / name).unlink(missing_ok=True)
                (folder / FILES / name).unlink(missing_ok=True)
    (folder / FILES).mkdir(parents=True, exist_ok=True)
    new = manifest.with_suffix(".new")
    new.write_text(json.dumps(now), encoding="utf-8")
    new.replace(manifest)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _too_large(shown: str, limits: DownloadLimits) -> UnusableSourceError:
    return UnusableSourceError(
        f"{shown} is larger than announced or than the {limits.max_bytes} bytes that are allowed; "
        "check the source, or raise ATHERIA_SOURCE_MAX_BYTES"
    )


def _gave_up(shown: str, limits: DownloadLimits, error: Exception) -> NotReachableError:
    return NotReachableError(f"{shown} cannot be had after {limits.attempts} tries: {error}")
