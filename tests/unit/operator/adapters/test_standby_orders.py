"""Orders to pods, against a real HTTP server on the loopback."""

from __future__ import annotations

import pytest
from aiohttp import web

from atheria_contract import names
from atheria_operator.adapters.standby_orders import HttpStandbyOrders
from atheria_operator.api.model import ModelKey
from atheria_operator.runtime.ports import ReportError

KEY = ModelKey(namespace="demo", name="qca")
SECRET = b"k" * 32


async def ordered(status: int) -> tuple[bool, str]:
    """What the adapter makes of an answer, and the token that it showed."""
    shown: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        shown.append(request.headers[names.HEADER_STANDBY])
        return web.Response(status=status, text="because")

    app = web.Application()
    app.router.add_post(names.PATH_SLEEP, answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    orders = HttpStandbyOrders(SECRET)
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}{names.PATH_SLEEP}"
        return await orders.order(url, KEY), shown[0]
    finally:
        await orders.close()
        await runner.cleanup()


@pytest.mark.parametrize(("status", "is_taken"), [(200, True), (202, True), (409, False), (503, False)])
async def test_a_pod_takes_an_order_or_cannot_now(status: int, is_taken: bool) -> None:
    taken, token = await ordered(status)
    assert taken is is_taken
    # A known answer: operators, gateways and pods of different versions have to agree.
    assert token == "5360224b3e76faedba7dae0d3149236d8c503ac86b55bdc9de8614e5c21a2cc0"


@pytest.mark.parametrize("status", [403, 404, 302])
async def test_a_pod_that_knows_no_such_orders_is_told_by_status_and_words(status: int) -> None:
    with pytest.raises(ReportError, match=f"status {status}: because"):
        await ordered(status)


async def test_a_pod_that_does_not_answer_is_told() -> None:
    orders = HttpStandbyOrders(SECRET)
    try:
        with pytest.raises(ReportError, match=r"127\.0\.0\.1:9"):
            await orders.order(f"http://127.0.0.1:9{names.PATH_SLEEP}", KEY)
    finally:
        await orders.close()
