"""Objects of s3:// and gs://, by obstore.

Credentials are the library's own: environment variables, mounted files, the pod's identity. None pass through here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from atheria_server.sources.digest import MAX_FILES
from atheria_server.sources.errors import InterruptedDownloadError, NotReachableError, UnusableSourceError
from atheria_server.sources.remote import (
    CHUNK_BYTES,
    Listing,
    RemoteChangedError,
    RemoteFile,
    without_secrets,
)
from atheria_server.sources.source_url import checked_name, redacted


class ObjectRemote:
    """One object, or all below a prefix."""

    def __init__(self, store: Any, path: str, *, shown: str) -> None:
        """`store` is obstore's; `path` is the object or the prefix in it."""
        self._store = store
        self._path = path.strip("/")
        self._is_prefix = path.endswith("/") or not self._path
        self._shown = shown

    def listing(self) -> Listing:
        """The object of that name, or else the files below it."""
        with self._translated():
            if not self._is_prefix:
                try:
                    found = self._store.head(self._path)
                except FileNotFoundError:
                    pass
                else:
                    return Listing(files=(self._file(found, self._path.rpartition("/")[0]),), is_folder=False)
            below = []
            for batch in self._store.list(self._path or None):
                below += batch
                if len(below) > MAX_FILES:
                    raise UnusableSourceError(
                        f"{self._shown} holds more than {MAX_FILES} objects; give the model's own folder"
                    )
        files = tuple(
            self._file(meta, self._path)
            for meta in sorted(below, key=lambda meta: str(meta["path"]))
            if not meta["path"].endswith("/")
        )
        if not files:
            raise NotReachableError(f"{self._shown} is not there; check the source and the pod's credentials")
        return Listing(files=files, is_folder=True)

    @contextmanager
    def read(self, file: RemoteFile, offset: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        """As Remote says."""
        if not file.size:
            yield 0, iter(())
            return
        with self._translated():
            answer = self._store.get(
                file.locator, options={"range": {"offset": offset}, "if_match": file.version}
            )
        yield offset, self._chunks(answer)

    def _chunks(self, answer: Any) -> Iterator[bytes]:
        stream = iter(answer.stream(min_chunk_size=CHUNK_BYTES))
        while True:
            with self._translated():
                chunk = next(stream, None)
            if chunk is None:
                return
            yield bytes(chunk)

    def _file(self, meta: Any, folder: str) -> RemoteFile:
        name = str(meta["path"]).removeprefix(folder).lstrip("/")
        return RemoteFile(
            name=checked_name(name, self._shown),
            size=meta["size"],
            version=meta["e_tag"] or "",
            locator=meta["path"],
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The library's errors as this package's."""
        from obstore import exceptions

        try:
            yield
        except exceptions.PreconditionError as error:
            raise RemoteChangedError from error
        except FileNotFoundError as error:
            raise NotReachableError(f"{self._shown} is not there; check the source") from error
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise NotReachableError(
                f"{self._shown} is refused: {_first_line(error)}; check the pod's credentials"
            ) from error
        except exceptions.BaseError as error:
            raise InterruptedDownloadError(_first_line(error)) from error


def open_store(url: str, *, stall_seconds: float) -> ObjectRemote:
    """For an s3:// or gs:// URL. Raises UnusableSourceError."""
    scheme = url.partition("://")[0]
    try:
        from obstore import exceptions
        from obstore.store import from_url
    except ImportError as error:
        raise UnusableSourceError(
            f"{scheme}:// needs the package obstore, which is not installed; install atheria[sources]"
        ) from error
    parts = urlsplit(url)
    pause = timedelta(seconds=stall_seconds)
    try:
        store = from_url(
            f"{scheme}://{parts.netloc}",
            # One request may last long; a connection that brings nothing may not.
            client_options={
                "timeout": timedelta(hours=12),
                "connect_timeout": pause,
                "read_timeout": pause,
                # options given here hide the variable
                "allow_http": os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true"),
            },
            # `download` tries again by itself, from the bytes that are there.
            retry_config={"max_retries": 1, "retry_timeout": pause},
        )
    except (exceptions.BaseError, ValueError) as error:
        raise UnusableSourceError(f"{redacted(url)} cannot be used: {_first_line(error)}") from error
    return ObjectRemote(store, parts.path, shown=redacted(url))


def _first_line(error: Exception) -> str:
    """Of the library's text; what follows repeats it for debugging."""
    return without_secrets(str(error).partition("\n")[0])
