"""Orders to wake, against a real HTTP server on the loopback."""

from __future__ import annotations

import pytest
from aiohttp import web

from atheria_contract import names
from atheria_gateway.adapters.standby import HttpStandby
from atheria_gateway.core.endpoints import Endpoint
from atheria_gateway.core.model import ModelKey

QCA = ModelKey(namespace="demo", name="qca")
SECRET = b"k" * 32
TOKEN = "5360224b3e76faedba7dae0d3149236d8c503ac86b55bdc9de8614e5c21a2cc0"


async def woken(status: int) -> bool:
    async def answer(request: web.Request) -> web.Response:
        assert request.headers[names.HEADER_STANDBY] == TOKEN
        return web.Response(status=status, text="because")

    app = web.Application()
    app.router.add_post(names.PATH_WAKE, answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    standby = HttpStandby(SECRET)
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        endpoint = Endpoint(address="127.0.0.1", http_port=runner.addresses[0][1])
        return await standby.wake(endpoint, QCA)
    finally:
        await standby.close()
        await runner.cleanup()


@pytest.mark.parametrize(("status", "is_awake"), [(200, True), (503, False), (403, False), (404, False)])
async def test_a_pod_is_awake_when_it_says_so(status: int, is_awake: bool) -> None:
    assert await woken(status) is is_awake


async def test_a_pod_that_does_not_answer_is_not_awake_and_without_a_key_nobody_is_asked() -> None:
    standby = HttpStandby(SECRET)
    try:
        assert not await standby.wake(Endpoint(address="127.0.0.1", http_port=9), QCA)
    finally:
        await standby.close()
    assert not await HttpStandby(None).wake(Endpoint(address="127.0.0.1", http_port=9), QCA)
