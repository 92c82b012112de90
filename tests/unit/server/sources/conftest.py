"""Fixtures: a file server that misbehaves on request and counts what it sends; limits that make tests short."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from atheria_server.sources.limits import DownloadLimits
from atheria_server.sources.progress import Transfer


@dataclass
class Remote:
    """A file that is served, and how."""

    data: bytes
    tag: str = '"1"'
    status: int = 0
    """Of every answer; 0 = the right one."""
    drop_after: list[int] = field(default_factory=list)
    """The next answers longer than a byte end after so many bytes; 0 = before the head."""
    stall_after: list[int] = field(default_factory=list)
    """The next answers stop after so many bytes and stay open."""
    has_ranges: bool = True
    is_chunked: bool = False
    on_read: Any = None
    """Called before an answer longer than a byte."""
    redirect: str = ""
    headers: list[dict[str, str]] = field(default_factory=list)
    """Of the requests."""


class FileServer:
    """Serves `files` by path; `sent` counts the bytes of bodies longer than one byte."""

    def __init__(self) -> None:
        self.files: dict[str, Remote] = {}
        self.sent = 0
        self.ranges: list[str] = []
        self.released = threading.Event()
        """Lets stalled answers end."""
        self.stalled = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Tests read no log."""

            def do_GET(self) -> None:
                outer.answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        file = self.files.get(handler.path)
        if file is None:
            handler.send_error(404)
            return
        file.headers.append({key.lower(): value for key, value in handler.headers.items()})
        if file.status or file.redirect:
            handler.send_response(file.status or 302)
            handler.send_header("Location", file.redirect)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        wanted = handler.headers.get("Range", "")
        is_probe = wanted == "bytes=0-0"
        if not is_probe:
            self.ranges.append(wanted)
            if file.on_read:
                file.on_read()
        start, end = 0, len(file.data)
        if wanted and file.has_ranges and file.data:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), int(last) + 1 if last else len(file.data)
        is_part = (start, end) != (0, len(file.data)) or (bool(wanted) and file.has_ranges)
        if not is_probe and file.drop_after and file.drop_after[0] == 0:
            file.drop_after.pop(0)
            handler.close_connection = True
            return
        handler.send_response(206 if is_part and file.data else 200)
        if file.tag:
            handler.send_header("ETag", file.tag)
        if is_part and file.data:
            handler.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(file.data)}")
        body = file.data[start:end]
        if file.is_chunked and not is_part:
            handler.send_header("Transfer-Encoding", "chunked")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        else:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        self._send(handler, file, body, is_probe=is_probe)

    def _send(self, handler: BaseHTTPRequestHandler, file: Remote, body: bytes, *, is_probe: bool) -> None:
        try:
            if is_probe:
                handler.wfile.write(body)
                return
            if file.drop_after:
                body = body[: file.drop_after.pop(0)]
                handler.close_connection = True
            elif file.stall_after:
                body = body[: file.stall_after.pop(0)]
                handler.wfile.write(body)
                handler.wfile.flush()
                self.sent += len(body)
                self.stalled.set()
                self.released.wait(30)
                handler.close_connection = True
                return
            self.sent += len(body)
            handler.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True


@pytest.fixture
def remote() -> type[Remote]:
    return Remote


@pytest.fixture
def file_server() -> Iterator[FileServer]:
    server = FileServer()
    yield server
    server.close()


@pytest.fixture
def limits() -> DownloadLimits:
    return DownloadLimits(
        max_bytes=1 << 30, stall_seconds=5, attempts=3, pause_seconds=0.001, total_seconds=60, wait_seconds=60
    )


@pytest.fixture
def reports() -> list[Transfer]:
    """Pass `reports.append` as progress."""
    return []
