"""Requests to an API server that does not answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest
from kubernetes.aio import client

from atheria_operator.adapters.kube import KubeClusterWriter
from atheria_operator.runtime.ports import ClusterError, ObjectRef
from tests.unit.connections import Connections

REF = ObjectRef(api_version="apps/v1", kind="Deployment", namespace="demo", name="qca")


@pytest.fixture
async def silent() -> AsyncIterator[tuple[KubeClusterWriter, asyncio.Event, list[tuple[str, int]]]]:
    """An API server that takes a question, sets the event, and says nothing; and what the client tells of its calls."""
    asked = asyncio.Event()

    async def take(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()

    connections = Connections(take)
    server = await asyncio.start_server(connections.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    api = client.ApiClient(configuration=client.Configuration(host=f"http://127.0.0.1:{port}"))
    calls: list[tuple[str, int]] = []

    def called(verb: str, code: int) -> None:
        calls.append((verb, code))

    try:
        yield KubeClusterWriter(api, called=called, timeout_seconds=0.2), asked, calls
    finally:
        await api.close()
        server.close()
        await connections.until_closed()


async def test_an_api_server_that_says_nothing_is_given_up_and_counted(
    silent: tuple[KubeClusterWriter, asyncio.Event, list[tuple[str, int]]],
) -> None:
    writer, _, calls = silent
    with pytest.raises(ClusterError, match=r"GET .*/deployments/qca: no answer within 0\.2 s") as caught:
        await writer.read(REF)
    assert caught.value.status == 0
    assert calls == [("GET", 0)]


async def test_who_is_ended_in_the_moment_of_a_timeout_ends(
    silent: tuple[KubeClusterWriter, asyncio.Event, list[tuple[str, int]]],
) -> None:
    writer, asked, _ = silent

    async def reconcile() -> None:
        while True:
            with contextlib.suppress(ClusterError):
                await writer.read(REF)

    reconciling = asyncio.create_task(reconcile())
    await asked.wait()
    asyncio.get_running_loop().call_later(0.4, reconciling.cancel)
    # The loop stands still, so that the timeout and the end come in one turn.
    time.sleep(0.6)  # noqa: ASYNC251
    done, _ = await asyncio.wait({reconciling}, timeout=30)
    reconciling.cancel()
    assert done == {reconciling}
    assert reconciling.cancelled()
