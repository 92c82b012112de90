"""The fetch of a pod's report, against a real HTTP server on the loopback."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from atheria_local.pki import Authority
from atheria_operator.adapters import pod_reports
from atheria_operator.adapters.pod_reports import HttpPodReports
from atheria_operator.runtime.ports import ReportError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ANSWER = {"weight_bytes": 7, "quality": {"passed": True}}


@pytest.fixture
async def reports() -> AsyncIterator[HttpPodReports]:
    """The adapter."""
    found = HttpPodReports()
    yield found
    await found.close()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    """Starts servers with one handler; returns the URL of each."""
    runners: list[web.AppRunner] = []

    async def start(handler: Handler) -> str:
        app = web.Application()
        app.router.add_get("/report", handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}/report"

    yield start
    for runner in runners:
        await runner.cleanup()


def json_of(value: Any) -> web.Response:
    return web.Response(text=json.dumps(value), content_type="application/json")


async def test_an_answer_is_read_and_the_request_carries_nothing_secret(
    reports: HttpPodReports, serve: Callable[[Handler], Awaitable[str]]
) -> None:
    asked: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request)
        response = json_of(ANSWER)
        response.set_cookie("session", "x")
        return response

    url = await serve(answer)
    assert await reports.fetch(url) == ANSWER
    assert await reports.fetch(url) == ANSWER
    names = {name.lower() for request in asked for name in request.headers}
    assert not names & {"authorization", "cookie", "x-api-key"}


async def test_a_pod_with_tls_is_read_like_a_probe_without_verifying_who_it_is(
    reports: HttpPodReports, tmp_path: Path
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return json_of(ANSWER)

    issued = Authority(tmp_path).issue("somebody-else", names=["DNS:somebody-else"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(issued.certificate, issued.key)
    app = web.Application()
    app.router.add_get("/report", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        assert await reports.fetch(f"https://127.0.0.1:{runner.addresses[0][1]}/report") == ANSWER
    finally:
        await runner.cleanup()


async def test_what_will_not_change_is_final_and_what_may_is_not(
    reports: HttpPodReports, serve: Callable[[Handler], Awaitable[str]]
) -> None:
    async def missing(_: web.Request) -> web.Response:
        return web.Response(status=404)

    async def draining(_: web.Request) -> web.Response:
        return web.Response(status=503)

    async def elsewhere(_: web.Request) -> web.Response:
        raise web.HTTPFound("http://169.254.169.254/latest")

    async def words(_: web.Request) -> web.Response:
        return web.Response(text="<html>")

    async def deep(_: web.Request) -> web.Response:
        return web.Response(text="[" * 200_000)

    async def packed(_: web.Request) -> web.Response:
        body = gzip.compress(json.dumps(ANSWER).encode())
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    for handler, is_final in (
        (missing, True),
        (draining, False),
        (elsewhere, False),
        (words, True),
        (deep, True),
        (packed, True),
    ):
        url = await serve(handler)
        with pytest.raises(ReportError) as failure:
            await reports.fetch(url)
        assert failure.value.is_final is is_final, handler.__name__
        assert url in str(failure.value)


async def test_a_flood_is_cut_off(
    reports: HttpPodReports, serve: Callable[[Handler], Awaitable[str]]
) -> None:
    sent = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b" " * 65_536)
            sent += 65_536
        return response

    with pytest.raises(ReportError, match=f"more than {pod_reports.MAX_BYTES} bytes"):
        await reports.fetch(await serve(flood))
    assert sent < 1000 * 65_536


async def test_a_pod_that_never_answers_is_given_up(
    reports: HttpPodReports, serve: Callable[[Handler], Awaitable[str]]
) -> None:
    asked = asyncio.Event()

    async def silent(_: web.Request) -> web.Response:
        asked.set()
        await asyncio.sleep(60)
        return web.Response()

    began = time.monotonic()
    with pytest.raises(ReportError, match="no answer within 2 s") as failure:
        await reports.fetch(await serve(silent))
    assert asked.is_set()
    assert not failure.value.is_final
    # Far above the 2 s, far below the 60 s that the pod would take.
    assert time.monotonic() - began < 30


async def test_a_pod_that_is_gone_is_an_error_with_its_address(reports: HttpPodReports) -> None:
    with pytest.raises(ReportError, match=r"http://127\.0\.0\.1:9/report") as failure:
        await reports.fetch("http://127.0.0.1:9/report")
    assert not failure.value.is_final
