"""SIGTERM under load: what was accepted is answered, what comes later is refused, and a second SIGTERM does not wait."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
from pathlib import Path
from typing import Any

import grpc
import pytest

from atheria_contract.generated.inference_pb2_grpc import GRPCInferenceServiceStub
from tests.integration.server.harness import Gate, Server, eventually
from tests.integration.server.soak import payloads, processes, raw_http

SOURCE = "python://soak_model:SoakApi"
CALLS = 150
STREAMS = 20
FRAMES = 40
CALL_SECONDS = 100.0
FIRST_LATER_TAG = 1000


def _end(error: grpc.RpcError) -> str:
    """What a call that never began may end with: refused, or without a word.

    The latter are the calls that gRPC has read and not handed on when its server stops
    (https://github.com/grpc/grpc/issues/41785).
    """
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return "refused"
    if error.code() is grpc.StatusCode.CANCELLED and error.details() == "CANCELLED":
        return "unread"
    return str(error)


async def _load(
    server: Any, accepted: asyncio.Event, ended: asyncio.Event
) -> tuple[list[str], dict[int, str]]:
    """Calls and streams of all kinds before the signal, and more after it, by tag; what came of each."""
    port = int(server.http.rpartition(":")[2])
    before: list[str] = []
    after: dict[int, str] = {}

    async def unary(stub: Any, tag: int) -> str:
        message = payloads.Good(tag=tag, rows=1, width=1, parameters={"work": 0.01}).message()
        try:
            await stub.ModelInfer(message, timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            return _end(error)
        return "OK"

    async def infer(stub: Any, tag: int) -> None:
        before.append(await unary(stub, tag))

    async def rest(tag: int) -> None:
        body = json.dumps(
            payloads.Good(tag=tag, rows=1, width=1, parameters={"work": 0.01}).document()
        ).encode()
        data = await raw_http.exchange(port, raw_http.post(f"/v2/models/{payloads.MODEL}/infer", body))
        before.append("OK" if data and raw_http.parse(data).status == 200 else repr(data))

    async def stream(stub: Any, tag: int) -> None:
        message = payloads.Good(
            tag=tag, rows=1, width=1, parameters={"count": FRAMES, "work": 0.001}
        ).message()
        answers = [answer async for answer in stub.ModelStreamInfer(iter([message]), timeout=CALL_SECONDS)]
        before.append("OK" if len(answers) == FRAMES + 1 else str(answers[-1]))

    async def events(tag: int) -> None:
        wish = payloads.Good(tag=tag, rows=1, width=1, parameters={"count": FRAMES, "work": 0.001})
        path = f"/v2/models/{payloads.MODEL}/infer_stream?slow=wait"
        data = await raw_http.exchange(
            port, raw_http.post(path, json.dumps(wish.document()).encode()), pause_seconds=0.3
        )
        assert data is not None
        body = raw_http.parse(data).body
        before.append(
            "OK" if body.count(b"event: frame") == FRAMES and b'"final":true' in body else repr(body)
        )

    async with grpc.aio.insecure_channel(server.grpc) as channel:
        stub = GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        async with asyncio.timeout(CALL_SECONDS), asyncio.TaskGroup() as group:
            for tag in range(CALLS):
                group.create_task(infer(stub, tag) if tag % 2 else rest(tag))
            for tag in range(STREAMS):
                group.create_task(stream(stub, tag) if tag % 2 else events(tag))
            await accepted.wait()
            for tag in itertools.count(FIRST_LATER_TAG):
                if ended.is_set():
                    break
                after[tag] = await unary(stub, tag)
                await asyncio.sleep(0.01)
    return before, after


def test_a_server_that_ends_under_load_answers_everything_that_it_accepted(tmp_path: Path) -> None:
    log = tmp_path / "computed.log"
    options = (
        *("--max-queue-depth", "1000", "--drain-timeout", "60s", "--drain-delay", "0"),
        *("--set", f"log={log}"),
    )
    gate = Gate(tmp_path)
    with Server(SOURCE, *options) as server, server.stub() as stub:

        async def run() -> tuple[list[str], dict[int, str]]:
            accepted, ended = asyncio.Event(), asyncio.Event()
            load = asyncio.create_task(_load(server, accepted, ended))
            # The gate keeps all of them in the server until the signal is there.
            await asyncio.to_thread(server.wait_in_flight, CALLS + STREAMS + 1)
            server.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(server.wait_line, "event=draining")
            accepted.set()
            gate.open()
            code = await asyncio.to_thread(server.wait_exit)
            ended.set()
            assert code == 0
            return await load

        held = stub.begin(payloads.Good(tag=1, rows=1, width=1, parameters={"gate": gate.path}).message())
        gate.wait_held()
        before, after = asyncio.run(run())
        assert held.result(timeout=CALL_SECONDS)
        assert before == ["OK"] * (CALLS + STREAMS), set(before)
        assert set(after.values()) <= {"OK", "refused", "unread"}
        assert "refused" in after.values()
        computed = {int(tag) for tag in log.read_text().split() if int(tag) >= FIRST_LATER_TAG}
        assert computed == {tag for tag, end in after.items() if end == "OK"}
        server.wait_line("event=drained unanswered=0")


def test_a_second_signal_ends_the_server_with_the_rest_unavailable(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with Server(SOURCE, "--drain-timeout", "1h") as server, server.stub() as stub:
        (worker,) = processes.workers(server.process.pid)
        calls = [stub.begin(payloads.Good(tag=1, rows=1, width=1, parameters={"gate": gate.path}).message())]
        gate.wait_held()
        calls += [
            stub.begin(payloads.Good(tag=tag, rows=1, width=1, parameters={}).message()) for tag in range(40)
        ]
        server.wait_in_flight(41)
        server.process.send_signal(signal.SIGTERM)
        server.wait_line("event=draining")
        server.process.send_signal(signal.SIGTERM)
        for call in calls:
            with pytest.raises(grpc.RpcError) as failed:
                call.result(timeout=CALL_SECONDS)
            assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
            assert failed.value.details()
        assert server.wait_exit() == 0  # while the gate still holds the worker
        server.wait_line("event=drained unanswered=41")
        eventually("the end of the worker", lambda: not Path(f"/proc/{worker}/cmdline").exists())
