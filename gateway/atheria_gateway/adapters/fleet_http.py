"""`fleet.json` on a unix socket, for Envoy's route of the live page."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from atheria_gateway.xds.cluster_names import PATH_FLEET


async def serve_fleet(*, socket: str, body: Callable[[], bytes]) -> web.AppRunner:
    """Start the server; a socket left by a killed predecessor is replaced. The caller cleans the runner up."""

    async def fleet(_: web.Request) -> web.Response:
        return web.Response(body=body(), content_type="application/json")

    app = web.Application()
    app.router.add_get(PATH_FLEET, fleet)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.UnixSite(runner, socket).start()
    return runner
