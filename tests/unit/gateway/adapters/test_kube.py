"""Requests to an API server that does not answer, and watches, which have no time limit of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator

import pytest
from kubernetes.aio import client

from atheria_gateway.adapters.kube import Kube, KubeError
from atheria_gateway.core.model import ModelKey
from atheria_gateway.runtime.ports import Changed, Listed, ScaleTarget, Watched
from tests.unit.connections import Connections

QCA = ModelKey(namespace="demo", name="qca")
LIMIT_S = 0.2
WATCHER_LIMIT_S = 1.0
"""Its list has to be answered in it."""


class ApiServer:
    """Takes questions: it lists one model, begins a watch, and says nothing to all else."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.lists = 0
        self.watching: asyncio.StreamWriter | None = None
        self.is_watched = asyncio.Event()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            line = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n", 1)[0]
            self.asked.set()
            if b"watch=true" in line:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
                self.watching = writer
                self.is_watched.set()
            elif b"/atheriamodels?" in line or b"/atheriamodels HTTP" in line:
                self.lists += 1
                body = json.dumps({"metadata": {"resourceVersion": "1"}, "items": []}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))


@pytest.fixture(params=[LIMIT_S])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[tuple[ApiServer, Kube]]:
    api = ApiServer()
    connections = Connections(api.take)
    listening = await asyncio.start_server(connections.accept, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    settings = client.Configuration(host=f"http://127.0.0.1:{port}")
    kube = Kube(
        client.ApiClient(configuration=settings), pod_namespace="atheria-system", timeout_s=request.param
    )
    try:
        yield api, kube
    finally:
        await kube.close()
        listening.close()
        await connections.until_closed()


async def test_an_api_server_that_says_nothing_is_given_up(server: tuple[ApiServer, Kube]) -> None:
    _, kube = server
    with pytest.raises(KubeError, match=r"GET /apis/.*/scale: no answer within 0\.2 s") as caught:
        await kube.scale_from_zero(ScaleTarget.MODEL, QCA)
    assert caught.value.status == 0


async def test_who_is_ended_in_the_moment_of_a_timeout_ends(server: tuple[ApiServer, Kube]) -> None:
    api, kube = server

    async def wake() -> None:
        while True:
            with contextlib.suppress(OSError):
                await kube.scale_from_zero(ScaleTarget.MODEL, QCA)

    waking = asyncio.create_task(wake())
    await api.asked.wait()
    asyncio.get_running_loop().call_later(0.4, waking.cancel)
    # The loop stands still, so that the timeout and the end come in one turn.
    time.sleep(0.6)  # noqa: ASYNC251
    done, _ = await asyncio.wait({waking}, timeout=30)
    waking.cancel()
    assert done == {waking}
    assert waking.cancelled()


@pytest.mark.parametrize("server", [WATCHER_LIMIT_S], indirect=True)
async def test_a_watch_outlives_the_limit_of_a_request(server: tuple[ApiServer, Kube]) -> None:
    api, kube = server
    async with contextlib.aclosing(kube.follow(Watched.MODELS)) as events:
        assert await anext(events) == Listed(objects=())
        following = asyncio.ensure_future(anext(events))
        await asyncio.wait_for(api.is_watched.wait(), 30)
        await asyncio.sleep(3 * WATCHER_LIMIT_S)
        assert not following.done()
        assert api.watching is not None
        item = {"metadata": {"name": "qca", "resourceVersion": "2"}}
        api.watching.write(json.dumps({"type": "ADDED", "object": item}).encode() + b"\n")
        assert await asyncio.wait_for(following, 30) == Changed(body=item)
        assert api.lists == 1
