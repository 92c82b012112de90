"""Objects of s3:// through the real client against a small stand-in of S3, and of a store in memory."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import pytest
from obstore.store import MemoryStore

from atheria_server.sources.digest import digest_of
from atheria_server.sources.errors import NotReachableError, UnusableSourceError
from atheria_server.sources.limits import DownloadLimits
from atheria_server.sources.object_remote import ObjectRemote
from atheria_server.sources.remote import RemoteChangedError
from atheria_server.sources.resolve import resolve


class S3Server:
    """One bucket `models`: ListObjectsV2, HEAD, and GET with Range and If-Match; what the client here asks for."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.drop_after: list[int] = []
        self.sent = 0
        self.is_forbidden = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Tests read no log."""

            def do_GET(self) -> None:
                outer.answer(self)

            def do_HEAD(self) -> None:
                outer.answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        key = parts.path.removeprefix("/models").lstrip("/")
        query = parse_qs(parts.query)
        if self.is_forbidden:
            self._send(handler, 403, b"<Error><Code>AccessDenied</Code></Error>", {})
        elif "list-type" in query:
            self._send(handler, 200, self._list(query.get("prefix", [""])[0]), {})
        elif key not in self.objects:
            self._send(handler, 404, b"<Error><Code>NoSuchKey</Code></Error>", {})
        else:
            self._object(handler, self.objects[key])

    def _list(self, prefix: str) -> bytes:
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00Z</LastModified>"
            f"<ETag>{escape(tag(data))}</ETag><Size>{len(data)}</Size></Contents>"
            for key, data in sorted(self.objects.items())
            if key.startswith(prefix)
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode()

    def _object(self, handler: BaseHTTPRequestHandler, data: bytes) -> None:
        head = {"ETag": tag(data), "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        if handler.headers.get("If-Match", tag(data)) != tag(data):
            self._send(handler, 412, b"", {})
            return
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range", ""))
        if found is None:
            self._send(handler, 200, data, head)
            return
        start, end = int(found[1]), int(found[2]) + 1 if found[2] else len(data)
        head["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        self._send(handler, 206, data[start:end], head)

    def _send(self, handler: BaseHTTPRequestHandler, status: int, body: bytes, head: dict[str, str]) -> None:
        handler.send_response(status)
        for key, value in head.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command == "HEAD":
            return
        if status == 206 and self.drop_after:
            body = body[: self.drop_after.pop(0)]
            handler.close_connection = True
        if status == 206:
            self.sent += len(body)
        handler.wfile.write(body)


def tag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:32]}"'


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    server = S3Server()
    for key, value in {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "hunter2",
        "AWS_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(key, value)
    yield server
    server.close()


def test_a_folder_of_a_bucket_arrives_with_its_folders(
    s3: S3Server, tmp_path: Path, limits: DownloadLimits
) -> None:
    s3.objects = {
        "nca/v1/config.json": b"{}",
        "nca/v1/weights/a.safetensors": b"1" * 1000,
        "nca/v10/other": b"not this",
    }
    found = resolve("s3://models/nca/v1", cache_directory=tmp_path, limits=limits)
    assert (found.path / "config.json").read_bytes() == b"{}"
    assert (found.path / "weights" / "a.safetensors").read_bytes() == b"1" * 1000
    assert len(list(found.path.rglob("*"))) == 3
    assert found.downloaded_bytes == 1002
    again = resolve(
        "s3://models/nca/v1", digest=digest_of(found.path), cache_directory=tmp_path, limits=limits
    )
    assert digest_of(again.path) == digest_of(found.path)


def test_an_object_that_breaks_off_is_continued(s3: S3Server, tmp_path: Path, limits: DownloadLimits) -> None:
    data = bytes(range(256)) * 20_000
    s3.objects["m.pt2"] = data
    s3.drop_after = [1 << 20]
    found = resolve("s3://models/m.pt2", cache_directory=tmp_path, limits=limits)
    assert (found.path.name, found.path.read_bytes() == data) == ("m.pt2", True)
    # what came before the end of a broken answer may be lost inside of the client, at most one piece
    assert s3.sent <= len(data) + (1 << 20)


def test_what_is_not_there_is_told(s3: S3Server, tmp_path: Path, limits: DownloadLimits) -> None:
    with pytest.raises(NotReachableError, match="s3://models/none is not there"):
        resolve("s3://models/none", cache_directory=tmp_path, limits=limits)


def test_what_is_forbidden_is_told_without_the_credentials(
    s3: S3Server, tmp_path: Path, limits: DownloadLimits
) -> None:
    s3.is_forbidden = True
    with pytest.raises(NotReachableError, match="credentials") as error:
        resolve("s3://models/m.pt2", cache_directory=tmp_path, limits=limits)
    assert "hunter2" not in str(error.value)


def test_an_object_that_changed_since_it_was_listed_is_not_read() -> None:
    store = MemoryStore()
    store.put("m.pt2", b"old")
    remote = ObjectRemote(store, "m.pt2", shown="memory:///m.pt2")
    listed = remote.listing().files[0]
    store.put("m.pt2", b"new")
    with pytest.raises(RemoteChangedError), remote.read(listed, 1):
        pass


def test_a_listing_that_leads_out_of_the_folder_is_refused(s3: S3Server, tmp_path: Path) -> None:
    s3.objects = {"evil/a\\..\\b": b"", "evil/config.json": b"{}"}
    with pytest.raises(UnusableSourceError, match="names below the folder"):
        resolve("s3://models/evil/", cache_directory=tmp_path)
