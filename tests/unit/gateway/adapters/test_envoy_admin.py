"""Reading Envoy's counters, also of an Envoy that does not answer."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator

import pytest

from atheria_gateway.adapters.envoy_admin import EnvoyAdmin, parse_counters
from atheria_gateway.core.demand import EnvoyCounters, RevisionCalls
from atheria_gateway.core.model import ModelKey
from tests.unit.connections import Connections

QCA = ModelKey(namespace="demo", name="qca")


def test_grpc_and_rest_are_summed_and_retries_are_no_arrivals() -> None:
    text = """cluster.demo/qca.upstream_rq_active: 3
cluster.demo/qca.upstream_rq_total: 12
cluster.demo/qca.upstream_rq_retry: 2
cluster.demo/qca/http.upstream_rq_active: 1
cluster.demo/qca/http.upstream_rq_total: 5
cluster.demo/qca/pods.upstream_rq_total: 100
cluster.activator.upstream_rq_total: 100
cluster.demo/qca.upstream_rq_time: No recorded values
"""
    assert parse_counters(text) == {QCA: EnvoyCounters(active_requests=4, arrivals_total=15)}


def test_revisions_are_counted_apart_and_their_calls_belong_to_the_model() -> None:
    text = """cluster.demo/qca.upstream_rq_total: 10
cluster.demo/qca/revision/qca-a.upstream_rq_active: 2
cluster.demo/qca/revision/qca-a.upstream_rq_total: 8
cluster.demo/qca/revision/qca-a.upstream_rq_completed: 6
cluster.demo/qca/revision/qca-a.upstream_rq_5xx: 1
cluster.demo/qca/revision/qca-a.grpc.0: 3
cluster.demo/qca/revision/qca-a.grpc.3: 1
cluster.demo/qca/revision/qca-a.grpc.14: 1
cluster.demo/qca/revision/qca-a.grpc.13: 1
cluster.demo/qca/revision/qca-a/http.upstream_rq_completed: 2
cluster.demo/qca/revision/qca-a/http.upstream_rq_5xx: 1
cluster.demo/qca/revision/qca-a.upstream_rq_time: B1(0,0) B100(0,4) B250(1,2) B1.01958e+06(0,0)
cluster.demo/qca/revision/qca-a/http.upstream_rq_time: B1(0,0) B100(0,2)
cluster.demo/qca/revision/qca-a.external.upstream_rq_time: B1(0,0) B100(0,9)
"""
    figures = RevisionCalls(revision="qca-a", calls=8, errors=3, latency=((0.1, 6), (0.25, 2)))
    assert parse_counters(text) == {
        QCA: EnvoyCounters(active_requests=2, arrivals_total=18, revisions=(figures,))
    }


def test_no_text_means_no_models() -> None:
    assert parse_counters("") == {}


@pytest.fixture
async def silent() -> AsyncIterator[tuple[EnvoyAdmin, asyncio.Event]]:
    """An admin interface that takes a question, sets the event, and says nothing."""
    asked = asyncio.Event()

    async def take(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()

    connections = Connections(take)
    with tempfile.TemporaryDirectory(prefix="gw-") as folder:
        server = await asyncio.start_unix_server(connections.accept, f"{folder}/admin.sock")
        admin = EnvoyAdmin(f"{folder}/admin.sock", timeout_s=0.2)
        try:
            yield admin, asked
        finally:
            await admin.close()
            server.close()
            await connections.until_closed()


async def test_an_envoy_that_says_nothing_is_given_up(silent: tuple[EnvoyAdmin, asyncio.Event]) -> None:
    admin, _ = silent
    with pytest.raises(OSError, match=r"no answer within 0\.2 s"):
        await admin.counters()


async def test_who_is_ended_in_the_moment_of_a_timeout_ends(
    silent: tuple[EnvoyAdmin, asyncio.Event],
) -> None:
    admin, asked = silent

    async def poll() -> None:
        while True:
            with contextlib.suppress(OSError):
                await admin.counters()

    polling = asyncio.create_task(poll())
    await asked.wait()
    asyncio.get_running_loop().call_later(0.4, polling.cancel)
    # The loop stands still, so that the timeout and the end come in one turn.
    time.sleep(0.6)  # noqa: ASYNC251
    done, _ = await asyncio.wait({polling}, timeout=30)
    polling.cancel()
    assert done == {polling}
    assert polling.cancelled()
