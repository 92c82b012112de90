"""A file behind an http(s) URL, with ranges, by the standard library.

Not by obstore: a server that ignores ranges and sends the whole file (200) must serve too, only without resuming.
"""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from atheria_server.sources.errors import InterruptedDownloadError, NotReachableError, UnusableSourceError
from atheria_server.sources.remote import (
    CHUNK_BYTES,
    Listing,
    RemoteChangedError,
    RemoteFile,
    without_secrets,
)
from atheria_server.sources.source_url import checked_name, redacted

_PASSING: Final = (408, 425, 429, 500, 502, 503, 504)
"""Statuses that another try may change."""


class HttpRemote:
    """One file."""

    def __init__(self, url: str, *, stall_seconds: float, headers: Mapping[str, str] | None = None) -> None:
        """`headers` go to this host only, not to where it redirects."""
        self._url = url
        self._client = HttpClient(stall_seconds=stall_seconds, headers=headers)

    def listing(self) -> Listing:
        """The file; its name is the last part of the path."""
        name = PurePosixPath(unquote(urlsplit(self._url).path)).name or "model"
        shown = redacted(self._url)
        return Listing(files=(self._client.file(self._url, checked_name(name, shown)),), is_folder=False)

    @contextmanager
    def read(self, file: RemoteFile, offset: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        """As Remote says."""
        with self._client.read(file, offset) as found:
            yield found


class HttpClient:
    """Requests for files and ranges of them."""

    def __init__(self, *, stall_seconds: float, headers: Mapping[str, str] | None = None) -> None:
        self._stall_seconds = stall_seconds
        self._headers = dict(headers or {})
        self._opener = urllib.request.build_opener(_Redirects())

    def file(self, url: str, name: str) -> RemoteFile:
        """Size and version, asked by a range of one byte: signed URLs are often for GET alone."""
        try:
            with self.open(url, {"Range": "bytes=0-0"}) as answer:
                size = _whole_size(answer)
                return RemoteFile(name=name, size=size, version=_version(answer.headers), locator=url)
        except _NoSuchRangeError as error:
            if not str(error).endswith("*/0"):
                raise NotReachableError(f"{redacted(url)} answered 416 to a range of one byte") from error
            return RemoteFile(name=name, size=0, version="empty", locator=url)

    @contextmanager
    def read(self, file: RemoteFile, offset: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        """As Remote says."""
        if file.size == 0:
            yield 0, iter(())
            return
        try:
            opened = self.open(file.locator, {"Range": f"bytes={offset}-"} if offset else {})
            with opened as answer:
                yield self._start(file, answer, offset), _chunks(answer)
        except _NoSuchRangeError as error:
            raise RemoteChangedError from error

    def _start(self, file: RemoteFile, answer: Any, offset: int) -> int:
        if _version(answer.headers) != file.version:
            raise RemoteChangedError
        if answer.status != 206:
            return 0
        if _range_start(answer) != offset:
            raise InterruptedDownloadError("the server answered with another range than was asked for")
        return offset

    @contextmanager
    def open(self, url: str, headers: Mapping[str, str]) -> Iterator[Any]:
        """The answer, its status 200 or 206. Raises NotReachableError and InterruptedDownloadError."""
        request = urllib.request.Request(  # noqa: S310 - the schemes are checked by parse_source and _Redirects
            url, headers={"Accept-Encoding": "identity", "User-Agent": "atheria-server", **headers}
        )
        for key, value in self._headers.items():
            request.add_unredirected_header(key, value)
        try:
            with self._opener.open(request, timeout=self._stall_seconds) as answer:
                yield answer
        except urllib.error.HTTPError as error:
            with error:
                _raise_for_status(url, error)
        except urllib.error.URLError as error:
            raise InterruptedDownloadError(without_secrets(error.reason)) from error
        except TimeoutError as error:
            raise InterruptedDownloadError(f"no byte came for {self._stall_seconds:g} s") from error
        except http.client.InvalidURL as error:
            raise UnusableSourceError(f"{redacted(url)} is not a URL that can be asked for") from error
        except (http.client.HTTPException, ConnectionError, ssl.SSLError) as error:
            raise InterruptedDownloadError(f"{type(error).__name__}: {without_secrets(error)}") from error


class _NoSuchRangeError(Exception):
    """The file ends before the range begins (416)."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to anything else."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Refuses one that would leave TLS."""
        if req.full_url.startswith("https://") and not newurl.startswith("https://"):
            raise NotReachableError(
                f"{redacted(req.full_url)} redirects to {redacted(newurl)}, which is not encrypted"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _raise_for_status(url: str, error: urllib.error.HTTPError) -> None:
    if error.code == 416:
        raise _NoSuchRangeError(error.headers.get("Content-Range") or "") from error
    if error.code in _PASSING:
        raise InterruptedDownloadError(f"the server answered {error.code} {error.reason}") from error
    advice = {
        401: "; it wants credentials, which only s3://, gs:// and signed URLs carry",
        403: "; the server refuses: is the signature expired, or the file private?",
        404: "; there is no such file: check the source",
        410: "; the file is gone: check the source",
    }.get(error.code, "")
    raise NotReachableError(f"{redacted(url)} answered {error.code} {error.reason}{advice}") from error


def _version(headers: Any) -> str:
    tag = headers.get("ETag") or ""
    # a weak tag promises the same meaning, not the same bytes
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified") or ""


def _whole_size(answer: Any) -> int | None:
    """From `Content-Range: bytes 0-0/123`, or of an answer that is the whole file."""
    if answer.status == 206:
        text = (answer.headers.get("Content-Range") or "").rpartition("/")[2]
    else:
        text = answer.headers.get("Content-Length") or ""
    return int(text) if text.isascii() and text.isdigit() else None


def _range_start(answer: Any) -> int:
    text = (answer.headers.get("Content-Range") or "").removeprefix("bytes ").partition("-")[0]
    return int(text) if text.isascii() and text.isdigit() else -1


def _chunks(answer: Any) -> Iterator[bytes]:
    # read1: what has come is written, and so kept, even where the rest never comes
    while chunk := answer.read1(CHUNK_BYTES):
        yield chunk
