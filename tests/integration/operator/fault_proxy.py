"""A proxy in front of the real API server that answers some requests with a fault: a status, a cut or silent watch, a delay."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

_DROPPED = {
    "host",
    "content-length",
    "transfer-encoding",
    "accept-encoding",
    "connection",
    "content-encoding",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to a request instead of, or before, its way to the API server."""

    status: int = 0
    """Answer this; 0 = go on."""
    is_gone: bool = False
    """Answer a watch with the event 410 Gone."""
    cut_after_seconds: float = 0.0
    """Break the connection of a watch after this time."""
    is_torn: bool = False
    """It does not break, but ends well in the middle of a line."""
    delay_seconds: float = 0.0


Rule = Callable[[str, str, bool], Fault | None]
"""(method, path, is it a watch) to a fault."""


class FaultProxy:
    """The proxy; `rule` may be replaced at any time, `hits` counts its faults."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        cluster = config["clusters"][0]["cluster"]
        self._server = cluster["server"]
        if "certificate-authority-data" in cluster:
            authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
            self._tls = ssl.create_default_context(cadata=authority)
        else:
            self._tls = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self.rule: Rule = lambda _method, _path, _watch: None
        self.hits = 0
        self.port = 0
        self._open: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._config = config

    def kubeconfig(self, file: Path) -> Path:
        """The kubeconfig that goes through the proxy."""
        config = {
            **self._config,
            "clusters": [
                {"name": entry["name"], "cluster": {"server": f"http://127.0.0.1:{self.port}"}}
                for entry in self._config["clusters"]
            ],
        }
        file.write_text(json.dumps(config), encoding="utf-8")
        return file

    def cut(self) -> None:
        """Break every watch that is open now."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._open])

    async def _serve(self, started: threading.Event, ended: asyncio.Event) -> None:
        self._loop = asyncio.get_running_loop()
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._tls), auto_decompress=False
        ) as self._session:
            app = web.Application(client_max_size=64 * 2**20)
            app.router.add_route("*", "/{tail:.*}", self._handle)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.port = int(runner.addresses[0][1])
            started.set()
            await ended.wait()
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        is_watch = request.query.get("watch") in ("true", "1")
        task = asyncio.current_task()
        if is_watch and task is not None:
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        fault = self.rule(request.method, request.path, is_watch) or Fault()
        if fault != Fault():
            self.hits += 1
        await asyncio.sleep(fault.delay_seconds)
        if fault.status:
            body = {
                "kind": "Status",
                "code": fault.status,
                "message": "made up by the test",
                "status": "Failure",
            }
            return web.json_response(body, status=fault.status)
        if fault.is_gone:
            gone = {
                "type": "ERROR",
                "object": {
                    "kind": "Status",
                    "apiVersion": "v1",
                    "code": 410,
                    "reason": "Expired",
                    "message": "too old resource version",
                    "status": "Failure",
                },
            }
            return web.Response(text=json.dumps(gone) + "\n", content_type="application/json")
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _DROPPED}
        response: web.StreamResponse | None = None
        try:
            async with (
                asyncio.timeout(fault.cut_after_seconds or None),
                self._session.request(
                    request.method,
                    self._server + request.raw_path,
                    headers=headers,
                    data=await request.read() or None,
                    skip_auto_headers=["Content-Type"],
                    timeout=aiohttp.ClientTimeout(total=None),
                ) as answer,
            ):
                kept = {name: value for name, value in answer.headers.items() if name.lower() not in _DROPPED}
                response = web.StreamResponse(status=answer.status, headers=kept)
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response
        except TimeoutError:
            assert response is not None, "a watch is cut after its headers"
            if fault.is_torn:
                await response.write(b'{"type": "ADDED", "object": {"kind"')
                await response.write_eof()
            elif request.transport is not None:
                request.transport.abort()
            return response
        except (aiohttp.ClientError, ConnectionError):
            # Either side has gone: nobody is left to tell.
            return response or web.Response(status=502)


@contextmanager
def fault_proxy(kubeconfig: Path) -> Iterator[FaultProxy]:
    """The proxy in a thread and loop of its own."""
    proxy = FaultProxy(kubeconfig)
    started, loops, flags = threading.Event(), [], []

    async def main() -> None:
        ended = asyncio.Event()
        loops.append(asyncio.get_running_loop())
        flags.append(ended)
        await proxy._serve(started, ended)

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    assert started.wait(10), "the proxy did not start within 10 s"
    try:
        yield proxy
    finally:
        loop: Any = loops[0]
        loop.call_soon_threadsafe(flags[0].set)
        thread.join(10)
