"""A stream of LitServe's own route that fails before its first frame gets the failure's status.

LitServe begins every streamed answer with 200 and ends it silently when the call fails; so a full queue would look like an
empty answer. This middleware holds the beginning back until there is a frame or a failure. Added by
`transport.litserve_app` where a LitAPI streams.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from fastapi import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(slots=True, kw_only=True)
class StreamStart:
    """Of one request; whoever answers the call leaves its failure here, if it comes before the first frame."""

    failure: HTTPException | None = None


STREAM_START: ContextVar[StreamStart | None] = ContextVar("stream_start", default=None)


class HoldStreamStart:
    """The middleware; `paths` are those of the LitAPIs that stream."""

    def __init__(self, app: ASGIApp, *, paths: frozenset[str]) -> None:
        self._app = app
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        start = StreamStart()
        STREAM_START.set(start)
        held: Message | None = None

        async def send_held(message: Any) -> None:
            nonlocal held
            if message["type"] == "http.response.start":
                held = message
                return
            if held is not None:
                first, held = held, None
                if (failure := start.failure) is not None:
                    body = JSONResponse({"detail": failure.detail}, failure.status_code, failure.headers)
                    await body(scope, receive, send)
                    return
                await send(first)
            await send(message)

        await self._app(scope, receive, send_held)
