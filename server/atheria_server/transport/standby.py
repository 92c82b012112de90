"""The orders to sleep and to wake: POST with the model's token, which operator and gateway alone can derive.

Added by `app` where the configuration has the token's digest. What an order does is `engine.standby`.
"""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from atheria_contract import names
from atheria_contract.standby import is_token
from atheria_server.engine.standby import Standby


class StandbyRoutes:
    """Of one server."""

    def __init__(self, standby: Standby, token_digest: str, *, unready_reason: Callable[[], str]) -> None:
        """`unready_reason` says why calls are not welcome; nothing while they are."""
        self._standby = standby
        self._unready_reason = unready_reason
        self._token_digest = token_digest

    def add_to(self, app: FastAPI) -> None:
        """Register both."""
        app.router.add_route(names.PATH_SLEEP, self._sleep, methods=["POST"])
        app.router.add_route(names.PATH_WAKE, self._wake, methods=["POST"])

    async def _sleep(self, request: Request) -> Response:
        """202: it goes to sleep, or sleeps; 409: it stays awake, and why."""
        if not self._is_allowed(request):
            return _forbidden()
        hindrance = self._standby.sleep()
        if hindrance:
            return JSONResponse({"error": f"not put to sleep: {hindrance}", **self._standby.report()}, 409)
        return JSONResponse(self._standby.report(), 202)

    async def _wake(self, request: Request) -> Response:
        """200 once it is awake and ready for calls; 503 where it is not, because it loads, ends or has not woken in time."""
        if not self._is_allowed(request):
            return _forbidden()
        try:
            await self._standby.wake()
        except TimeoutError:
            return JSONResponse({"error": "the workers have not woken yet", **self._standby.report()}, 503)
        if reason := self._unready_reason():
            return JSONResponse({"error": reason, **self._standby.report()}, 503)
        return JSONResponse(self._standby.report())

    def _is_allowed(self, request: Request) -> bool:
        return is_token(request.headers.get(names.HEADER_STANDBY, ""), self._token_digest)


def _forbidden() -> Response:
    return JSONResponse(
        {"error": f"orders to sleep and to wake need the model's token in the header {names.HEADER_STANDBY}"},
        403,
    )
