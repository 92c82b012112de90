"""Answers probes while the front downloads its source: the server proper needs the files before it can listen.

`app` opens it at the first byte of a download and closes it when the files are there; the port stays open in between,
so a caller that comes then waits for the server. Everything but health is refused, with how far the download is.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Final, Self

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from atheria_contract import names
from atheria_server.core.errors import StartError
from atheria_server.engine.download_phase import download_phase
from atheria_server.engine.phases import Phase
from atheria_server.sources.progress import Transfer
from atheria_server.transport.security import read_security

_LOG = logging.getLogger("atheria.server")
_LIVE: Final = "/v2/health/live"
_CONNECTIONS: Final = 64
"""At a time; probes and the operator need two."""
_STOP_SECONDS: Final = 5.0


class WaitingRoom:
    """`with WaitingRoom(listen) as room:` answers from the first `room.told` to the end of the block."""

    def __init__(self, listen: Callable[[], socket.socket]) -> None:
        """`listen` makes the socket of the HTTP port; raises StartError."""
        self._listen = listen
        self._phase = Phase(name="loading")
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.socket: socket.socket | None = None
        """Open and listening also after the end, for the server proper; None = nothing was downloaded."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(_STOP_SECONDS)
        if self._thread.is_alive():
            raise StartError(
                f"the listener that answered probes during the download did not end within {_STOP_SECONDS:g} s"
            )

    def told(self, transfer: Transfer) -> None:
        """What is answered from now on. Raises StartError where the port cannot be opened."""
        self._phase = download_phase(transfer)
        if self._server is None:
            self._open()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        await self._answer(scope["path"])(scope, receive, send)

    def _answer(self, path: str) -> JSONResponse:
        if path == _LIVE:
            return JSONResponse({"live": True})
        reason = f"the model is not loaded yet: {self._phase.text}"
        if path == names.PATH_READY:
            return JSONResponse({"ready": False, "reason": reason}, 503)
        return JSONResponse({"error": reason}, 503)

    def _open(self) -> None:
        options = read_security(os.environ, time.monotonic).uvicorn_options()
        self.socket = self._listen()
        self._server = uvicorn.Server(
            uvicorn.Config(
                self,
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                lifespan="off",
                ws="none",
                limit_concurrency=_CONNECTIONS,
                timeout_graceful_shutdown=1,
                **options,
            )
        )
        # uvicorn closes what it is given; the socket itself is for the server proper.
        self._thread = threading.Thread(
            target=self._run, args=(self._server, self.socket.dup()), name="waiting-room", daemon=True
        )
        self._thread.start()
        _LOG.info("event=listening_early http_port=%d", self.socket.getsockname()[1])

    def _run(self, server: uvicorn.Server, sock: socket.socket) -> None:
        try:
            asyncio.run(server.serve([sock]))
        except Exception as error:  # noqa: BLE001 - probes fail then, and the download goes on
            _LOG.error("event=waiting_room_failed error=%r", error)
