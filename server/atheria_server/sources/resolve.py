"""From a source to files on this machine: `resolve`. Folders of the pod are checked, everything else is downloaded once.

Called by `models.registry` in the front and in every worker of a server (the first one downloads, the others wait), by
the commands, and by a LitAPI of one's own that wants its weights from an object store:

    path = resolve("s3://bucket/weights/", digest="sha256:...", cache_directory=Path("/cache")).path
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atheria_server.sources.digest import check_digest, check_digest_form
from atheria_server.sources.download import FILES, bytes_below, fetch, total_below, with_retries
from atheria_server.sources.errors import NotReachableError, UnusableSourceError
from atheria_server.sources.http_remote import HttpRemote
from atheria_server.sources.hub_remote import HubRemote
from atheria_server.sources.limits import DownloadLimits, limits_from
from atheria_server.sources.object_remote import open_store
from atheria_server.sources.progress import LoggedProgress, Progress, Transfer
from atheria_server.sources.remote import Listing, Remote, RemoteChangedError
from atheria_server.sources.single_flight import alone
from atheria_server.sources.source_url import SourceUrl, parse_source

_FILE: Final = ".file"
_FOLDER: Final = ".folder"
_CHANGES: Final = 3
"""A source that changes so often while it is downloaded is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedSource:
    """The files of a source."""

    path: Path
    """A file or a folder; read-only."""
    downloaded_bytes: int
    """By this call; 0 = they were there."""
    seconds: float


def resolve(
    source: str,
    *,
    digest: str = "",
    cache_directory: Path | None = None,
    progress: Progress | None = None,
    limits: DownloadLimits | None = None,
    checks_kept: bool = True,
) -> ResolvedSource:
    """The files of `source`, checked against `digest` ("sha256:<hex>" of the file or folder; empty = not checked).

    Without `cache_directory` downloads go to a folder of this user below the temporary one. Without a digest a source
    that is downloaded is asked for its version each time, and downloaded again when that has changed. `checks_kept` =
    False leaves it to the caller to check files that were here before. `progress` is told how far a download is, at most once
    a second; None = the log, and who listens in this process (`progress.listening`).
    Raises UnusableSourceError; OSError where the cache cannot be written.
    """
    began = time.monotonic()
    check_digest_form(digest)
    url = parse_source(source, digest=digest)
    if url.local is not None:
        path = _present(url, url.local)
        check_digest(path, digest if checks_kept else "")
        return ResolvedSource(path=path, downloaded_bytes=0, seconds=time.monotonic() - began)
    limits = limits or limits_from(os.environ)
    root = (cache_directory or _own_directory()) / "sources"
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnusableSourceError(
            f"{root} cannot be made for downloads: {error.strerror}; set the cache directory"
        ) from error
    path, transferred = _Cache(root, url, digest, limits, progress or LoggedProgress()).path()
    if not transferred and checks_kept:
        check_digest(path, digest)
    return ResolvedSource(path=path, downloaded_bytes=transferred, seconds=time.monotonic() - began)


class _Cache:
    """One source's place in the cache: `KEY-VERSION.file/NAME` or `KEY-VERSION.folder` once it is whole, `KEY.partial` before."""

    def __init__(
        self, root: Path, url: SourceUrl, digest: str, limits: DownloadLimits, progress: Progress
    ) -> None:
        self._root = root
        self._url = url
        self._digest = digest
        self._limits = limits
        self._progress = progress
        self._key = _name(url.text)
        self._partial = root / f"{self._key}.partial"

    def path(self) -> tuple[Path, int]:
        """The files, and the bytes that were transferred for them."""
        if self._digest and (known := self._kept(self._digest)):
            return known, 0
        with alone(
            self._root / f"{self._key}.lock",
            wait_seconds=self._limits.wait_seconds,
            report_seconds=self._limits.report_seconds,
            waiting=self._waiting,
        ):
            for _ in range(_CHANGES):
                try:
                    return self._download(_remote(self._url, self._limits))
                except RemoteChangedError:
                    continue
        raise NotReachableError(
            f"{self._url.shown} changed {_CHANGES} times while it was downloaded; try again"
        )

    def _download(self, remote: Remote) -> tuple[Path, int]:
        if self._digest and (known := self._kept(self._digest)):
            return known, 0  # it came while this process waited
        listing = self._listed(remote)
        version = self._digest or listing.version
        if known := self._kept(version):
            return known, 0
        transferred = fetch(
            remote,
            listing,
            self._partial,
            shown=self._url.shown,
            limits=self._limits,
            progress=self._progress,
        )
        if self._listed(remote).version != listing.version:
            raise RemoteChangedError
        files = self._partial / FILES
        found = files if listing.is_folder else files / listing.files[0].name
        try:
            check_digest(found, self._digest)
        except UnusableSourceError as error:
            shutil.rmtree(self._partial)
            raise UnusableSourceError(f"{self._url.shown}: {error}") from error
        files.rename(self._place(version, _FOLDER if listing.is_folder else _FILE))
        shutil.rmtree(self._partial)
        kept = self._kept(version)
        if kept is None:
            raise UnusableSourceError(
                f"{self._root} lost {self._url.shown} at once; is something else cleaning it?"
            )
        return kept, transferred

    def _kept(self, version: str) -> Path | None:
        """The whole file or folder of that version."""
        if (folder := self._place(version, _FOLDER)).is_dir():
            return folder
        return next(iter(self._place(version, _FILE).glob("*")), None)

    def _place(self, version: str, kind: str) -> Path:
        return self._root / f"{self._key}-{_name(version)}{kind}"

    def _listed(self, remote: Remote) -> Listing:
        listing = with_retries(remote.listing, shown=self._url.shown, limits=self._limits)
        if not listing.version and not self._digest:
            raise UnusableSourceError(
                f"{self._url.shown} tells no version (ETag or Last-Modified), so a change would go unseen; "
                "give the digest that it must have"
            )
        return listing

    def _waiting(self, seconds: float) -> None:
        self._progress(
            Transfer(
                source=self._url.shown,
                state="waiting",
                done_bytes=bytes_below(self._partial),
                total_bytes=total_below(self._partial),
                seconds=seconds,
            )
        )


def _present(url: SourceUrl, path: Path) -> Path:
    if path.exists():
        return path
    advice = {
        "pvc": "is the claim mounted? The operator does that for spec.model.source",
        "oci": "is the image mounted? The operator does that for spec.model.source",
    }.get(url.scheme, "check the path, and that its volume is mounted")
    raise UnusableSourceError(f"source {url.shown}: there is nothing at {path}; {advice}")


def _remote(url: SourceUrl, limits: DownloadLimits) -> Remote:
    if url.scheme in ("http", "https"):
        return HttpRemote(url.text, stall_seconds=limits.stall_seconds)
    if url.scheme == "hf":
        return HubRemote(url.text, stall_seconds=limits.stall_seconds, environment=os.environ)
    return open_store(url.text, stall_seconds=limits.stall_seconds)


def _own_directory() -> Path:
    """A folder that other users of the machine cannot write to."""
    directory = Path(tempfile.gettempdir()) / f"atheria-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    status = directory.lstat()
    if directory.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise UnusableSourceError(f"{directory} belongs to somebody else; set the cache directory")
    return directory


def _name(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
