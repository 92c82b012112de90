"""A thousand streams at once with slow readers: each gets its frames in order, and nobody else is held up.

`ATHERIA_SOAK_STREAMS` is their number.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import grpc
import pytest
from websockets.asyncio.client import connect

from atheria_contract.generated.inference_pb2_grpc import GRPCInferenceServiceStub
from tests.integration.server.harness import Server
from tests.integration.server.soak import payloads, processes, raw_http

STREAMS = int(os.environ.get("ATHERIA_SOAK_STREAMS", "1000"))
FRAMES = 16
WIDTH = 4096
"""Of a frame: 16 KiB over gRPC, somewhat more as JSON."""
READ_SECONDS = 0.01
"""A reader stops for up to twice so long after each frame."""
GROWTH_BYTES = 160 * 2**20
"""All frames of all streams together are more than that, by far."""
CALL_SECONDS = 100.0


@dataclass(slots=True, kw_only=True)
class Seen:
    """What all readers saw."""

    streams: int = 0
    dropped: int = 0
    unary: int = 0
    peak_bytes: dict[str, int] = field(default_factory=lambda: {"front": 0, "worker": 0})


def _wish(tag: int) -> Any:
    return payloads.Good(tag=tag, rows=1, width=WIDTH, parameters={"count": FRAMES})


async def _by_grpc(stub: Any, tag: int, seen: Seen) -> None:
    random = Random(tag)  # noqa: S311 - no secret
    steps = []
    async for answer in stub.ModelStreamInfer(iter([_wish(tag).message()]), timeout=CALL_SECONDS):
        assert not answer.error_message, answer.error_message
        response = answer.infer_response
        assert response.id == str(tag)
        if not response.parameters["triton_final_response"].bool_param:
            steps.append(response.parameters["step"].int64_param)
        await asyncio.sleep(random.uniform(0, 2 * READ_SECONDS))
    assert steps == list(range(1, FRAMES + 1)), f"{tag}: {steps}"
    seen.streams += 1


async def _by_events(port: int, tag: int, seen: Seen) -> None:
    slow = "wait" if tag % 2 else "drop"
    body = json.dumps(_wish(tag).document()).encode()
    path = f"/v2/models/{payloads.MODEL}/infer_stream?slow={slow}"
    data = await raw_http.exchange(port, raw_http.post(path, body), pause_seconds=1.0)
    assert data is not None
    answer = raw_http.parse(data)
    assert answer.status == 200, answer.body
    lines = answer.body.decode().split("\n")
    _check(
        [json.loads(line[6:]) for line in lines if line.startswith("data: ")], tag, seen, may_drop=not tag % 2
    )


async def _by_websocket(port: int, tag: int, seen: Seen) -> None:
    random = Random(tag)  # noqa: S311 - no secret
    url = f"ws://127.0.0.1:{port}/v2/models/{payloads.MODEL}/stream"
    async with connect(url, ping_interval=None, max_queue=1, max_size=None, open_timeout=CALL_SECONDS) as ws:
        await ws.send(json.dumps(_wish(tag).document()))
        documents = [json.loads(await ws.recv())]
        while "index" in documents[-1]:
            await asyncio.sleep(random.uniform(0, 2 * READ_SECONDS))
            documents.append(json.loads(await ws.recv()))
    _check(documents, tag, seen, may_drop=True)


def _check(documents: list[Any], tag: int, seen: Seen, *, may_drop: bool) -> None:
    *frames, end = documents
    assert "error" not in end, f"{tag}: {end}"
    indices = [frame["index"] for frame in frames]
    assert indices == sorted(set(indices)), f"{tag}: {indices}"
    assert all(frame["parameters"]["step"] == frame["index"] + 1 for frame in frames)
    assert all(frame["outputs"][0]["data"][0] == tag * frame["parameters"]["step"] for frame in frames)
    assert end["dropped"] == FRAMES - len(frames), f"{tag}: {end}"
    assert end["dropped"] == 0 or may_drop
    seen.dropped += end["dropped"]
    seen.streams += 1


async def _others(stub: Any, pids: dict[str, int], seen: Seen, streams: list[asyncio.Task[None]]) -> None:
    """Calls beside the streams, one after the other, and a look at the memory after each."""
    while not all(task.done() for task in streams):
        answer = await stub.ModelInfer(
            payloads.Good(tag=7, rows=1, width=1, parameters={}).message(), timeout=CALL_SECONDS
        )
        assert answer.outputs[0].name == "y"
        seen.unary += 1
        for name, pid in pids.items():
            seen.peak_bytes[name] = max(seen.peak_bytes[name], processes.use(pid).rss_bytes)
        await asyncio.sleep(0.05)


async def _all(server: Any, pids: dict[str, int]) -> Seen:
    seen = Seen()
    port = int(server.http.rpartition(":")[2])
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(server.grpc, options=options) for _ in range(5)]
    stubs = [GRPCInferenceServiceStub(channel) for channel in channels]  # type: ignore[no-untyped-call]

    def stream(tag: int) -> Awaitable[None]:
        match tag % 10:
            case 1 | 2:
                return _by_events(port, tag, seen)
            case 3 | 4:
                return _by_websocket(port, tag, seen)
            case _:
                return _by_grpc(stubs[tag % 4], tag, seen)

    try:
        async with asyncio.timeout(CALL_SECONDS), asyncio.TaskGroup() as group:
            streams = [group.create_task(stream(tag)) for tag in range(1, STREAMS + 1)]  # type: ignore[arg-type]
            group.create_task(_others(stubs[4], pids, seen, streams))
    finally:
        for channel in channels:
            await channel.close()
    return seen


@pytest.mark.timeout(CALL_SECONDS + 60)
def test_a_thousand_slow_readers_get_their_frames_in_order_and_hold_nobody_up() -> None:
    with Server("python://soak_model:SoakApi", "--max-queue-depth", str(2 * STREAMS)) as server:
        (worker,) = processes.workers(server.process.pid)
        pids = {"front": server.process.pid, "worker": worker}
        before = {name: processes.use(pid).rss_bytes for name, pid in pids.items()}
        seen = asyncio.run(_all(server, pids))
        print(seen, before)  # noqa: T201
        assert seen.streams == STREAMS
        assert seen.unary > 5
        for name, peak in seen.peak_bytes.items():
            assert peak - before[name] < GROWTH_BYTES, name
        server.wait_in_flight(0)
        server.wait_queue_depth(0)
        assert server.metric("atheria_stream_frames_dropped_total") == seen.dropped
        assert processes.use(server.process.pid).memfds <= 64
