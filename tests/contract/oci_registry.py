"""As much of an OCI registry as `helm push` and `helm pull` need, over plain HTTP, for the test of the release workflow's scripts."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class OciRegistry:
    """What was pushed, by `sha256:…`; manifests also by `name:tag`."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, str] = {}
        """Digest by `name:tag`."""

    def blob(self, content: bytes) -> str:
        """Keep it; returns its digest."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.blobs[digest] = content
        return digest


@contextmanager
def serving(registry: OciRegistry) -> Iterator[str]:
    """Serve it at a free port; gives `localhost:PORT`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nothing."""

        def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def do_POST(self) -> None:
            self._body()
            self._answer(202, Location=f"{self.path.rstrip('/')}/1")

        def do_PUT(self) -> None:
            digest = registry.blob(self._body())
            name, is_manifest, tag = self.path.removeprefix("/v2/").partition("/manifests/")
            if is_manifest:
                registry.manifests[f"{name}:{tag}"] = digest
            self._answer(201, Docker_Content_Digest=digest, Location=self.path)

        def do_GET(self) -> None:
            name, is_manifest, reference = self.path.removeprefix("/v2/").partition("/manifests/")
            digest = reference if is_manifest else self.path.rpartition("/")[2]
            digest = registry.manifests.get(f"{name}:{reference}", digest)
            found = registry.blobs.get(digest)
            if found is None:
                return self._answer(200 if self.path == "/v2/" else 404)
            kind = _MANIFEST if is_manifest else "application/octet-stream"
            return self._answer(200, found, Docker_Content_Digest=digest, Content_Type=kind)

        def do_HEAD(self) -> None:
            self.do_GET()

    server = ThreadingHTTPServer(("localhost", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
