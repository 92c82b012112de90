"""/metrics, /healthz and /readyz of the activator."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder


async def serve_metrics(
    *, port: int, registry: CollectorRegistry, is_ready: Callable[[], bool], address: str = ""
) -> web.AppRunner:
    """Start the server on `address`, empty = on all; the caller cleans the runner up. OSError when the port is taken."""

    async def metrics(request: web.Request) -> web.Response:
        # Who asks for OpenMetrics, as Prometheus does, gets exemplars, too.
        try:
            encode, content_type = choose_encoder(request.headers.get("accept", ""))
        except (TypeError, ValueError):  # a version that is no number
            encode, content_type = choose_encoder("")
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        return (
            web.Response(text="ok\n")
            if is_ready()
            else web.Response(status=503, text="not listed, not acknowledged by Envoy, or draining\n")
        )

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, address or None, port).start()
    return runner
