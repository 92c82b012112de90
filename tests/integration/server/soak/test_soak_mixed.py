"""Thousands of calls of every kind at once: each is answered exactly once, and nothing is left over.

`ATHERIA_SOAK_CALLS=10000` makes it long, `ATHERIA_SOAK_SEED` repeats one run. The seed is printed with every failure.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.integration.server.harness import Server, eventually
from tests.integration.server.soak import payloads, processes
from tests.integration.server.soak.callers import LEFT
from tests.integration.server.soak.mix import Mix, read_log, tags

CALLS = int(os.environ.get("ATHERIA_SOAK_CALLS", "1500"))
SEED = int(os.environ.get("ATHERIA_SOAK_SEED", "0")) or time.time_ns() % 1_000_000
KILLS = 3
"""A worker that dies four times in 300 s ends the server."""
GROWTH_BYTES = 48 * 2**20
"""That the second half may add: allocators do not give everything back."""
MOST_BUFFERS = 64
"""Shared with one worker: 8 streams with 4 frames ahead, and what goes to and fro beside them. A dead worker keeps none."""
MOST_BUFFER_BYTES = 128 * 2**20
MOST_OTHER_DESCRIPTORS = 40
"""Listeners, pollers, the worker's socket: nothing of a call or a connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """The server when nobody calls."""

    front: processes.Use
    worker: processes.Use
    tasks: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """One run."""

    mix: Mix
    log: Path
    first: Rest
    """After the first half."""
    last: Rest
    counted: dict[str, float]
    """Calls by method, as the server counted them."""
    alive: bool


@pytest.fixture(scope="module")
def soak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soak]:
    log = tmp_path_factory.mktemp("soak") / "computed"
    print(f"seed {SEED}, {CALLS} calls")  # noqa: T201 - to make it again
    options = ("--max-queue-depth", str(payloads.QUEUE_ROWS), "--max-latency", "5ms")
    with Server("python://soak_model:SoakApi", "--set", f"log={log}", *options) as server:
        mix = Mix(
            SEED,
            server.process.pid,
            grpc_port=int(server.grpc.rpartition(":")[2]),
            http_port=int(server.http.rpartition(":")[2]),
        )
        began = time.monotonic()
        mix.run(CALLS // 2, stalls=2)
        first = _rest(server)
        mix.run(CALLS - CALLS // 2, kills=KILLS, stalls=2)
        seconds = time.monotonic() - began
        last = _rest(server)
        counted = {
            method: server.metric(f'atheria_requests_total.*method="{method}".*')
            for method in ("infer", "stream")
        }
        print("\n".join(mix.summary()))  # noqa: T201
        print(f"{seconds:.1f} s, {mix.killed} kills, front at most {mix.peak_rss_bytes / 2**20:.0f} MiB")  # noqa: T201
        print(f"after half: {first}\nat the end: {last}\ncounted: {counted}")  # noqa: T201
        yield Soak(
            mix=mix,
            log=log,
            first=first,
            last=last,
            counted=counted,
            alive=server.process.poll() is None,
        )


def _rest(server: Any) -> Rest:
    server.wait_in_flight(0)
    server.wait_queue_depth(0)
    eventually("ready", lambda: server.metric("atheria_model_ready") == 1)
    pid = server.process.pid
    (worker,) = processes.workers(pid)
    # Connections of callers that left end a little later than their calls.
    eventually("the end of all connections", lambda: not _handlers(_tasks(server)))
    return Rest(front=processes.use(pid), worker=processes.use(worker), tasks=_tasks(server))


def _tasks(server: Any) -> dict[str, int]:
    with server.stub() as stub:
        message = payloads.Good(tag=0, rows=1, width=1, parameters={"probe": True}).message()
        with pytest.raises(grpc.RpcError) as refused:
            stub.infer(message)
    found: dict[str, int] = json.loads(refused.value.details())
    return found


def _handlers(tasks: dict[str, int]) -> list[str]:
    """Tasks of connections and streams."""
    return [name for name in tasks if "WebSocket" in name or "Frame" in name or "_Stream" in name]


def test_every_call_is_answered_once_rightly_and_with_a_reason(soak: Soak) -> None:
    assert not soak.mix.failures, "\n".join(soak.mix.failures[:20])
    assert soak.alive
    kinds = {outcome.kind for outcome in soak.mix.outcomes if outcome.code == "OK"}
    assert kinds >= {"grpc", "grpc stream", "rest json", "rest binary", "events", "websocket"}


def test_what_was_answered_was_computed_once_and_what_expired_in_the_queue_never(soak: Soak) -> None:
    computed = read_log(soak.log)
    assert tags(soak.mix.outcomes, "OK") <= set(computed)
    expired = {o.tag for o in soak.mix.outcomes if "while the call waited in the queue" in o.text}
    assert not expired & set(computed)
    refused = {o.tag for o in soak.mix.outcomes if o.code == "RESOURCE_EXHAUSTED" and o.method == "infer"}
    assert not refused & set(computed)


def test_the_server_counted_as_many_calls_as_were_made(soak: Soak) -> None:
    for method, counted in soak.counted.items():
        certain = sum(outcome.method == method for outcome in soak.mix.outcomes)
        others = sum(outcome.method == "" for outcome in soak.mix.outcomes)
        assert certain <= counted <= certain + others + 10, method  # the probes of the tasks are calls too
    assert any(outcome.code == LEFT for outcome in soak.mix.outcomes)


def test_no_memory_descriptor_or_task_is_left(soak: Soak) -> None:
    first, last = soak.first, soak.last
    for process in (last.front, last.worker):
        assert process.memfds <= MOST_BUFFERS
        assert process.mapped_memfd_bytes <= MOST_BUFFER_BYTES
        assert process.descriptors - process.memfds <= MOST_OTHER_DESCRIPTORS
    assert last.front.rss_bytes <= first.front.rss_bytes + GROWTH_BYTES
    assert sum(last.tasks.values()) <= sum(first.tasks.values()) + 2, (first.tasks, last.tasks)
