"""SIGTERM under load: what was accepted is answered, what comes later is refused, and a second SIGTERM does not wait."""

from __future__ import annotations

import asyncio
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


def _refused(error: grpc.RpcError) -> bool:
    """A call that never began, or a connection that is no longer taken."""
    return error.code() is grpc.StatusCode.UNAVAILABLE


async def _load(server: Any, accepted: asyncio.Event, ended: asyncio.Event) -> dict[str, list[str]]:
    """Calls and streams of all kinds before the signal, and more after it; what came of each."""
    port = int(server.http.rpartition(":")[2])
    found: dict[str, list[str]] = {"before": [], "after": []}

    async def unary(stub: Any, tag: int, when: str) -> None:
        message = payloads.Good(tag=tag, rows=1, width=1, parameters={"work": 0.01}).message()
        try:
            await stub.ModelInfer(message, timeout=CALL_SECONDS)
            found[when].append("OK")
        except grpc.RpcError as error:
            found[when].append("refused" if _refused(error) else str(error))

    async def rest(tag: int) -> None:
        body = json.dumps(
            payloads.Good(tag=tag, rows=1, width=1, parameters={"work": 0.01}).document()
        ).encode()
        data = await raw_http.exchange(port, raw_http.post(f"/v2/models/{payloads.MODEL}/infer", body))
        found["before"].append("OK" if data and raw_http.parse(data).status == 200 else repr(data))

    async def stream(stub: Any, tag: int) -> None:
        message = payloads.Good(
            tag=tag, rows=1, width=1, parameters={"count": FRAMES, "work": 0.001}
        ).message()
        answers = [answer async for answer in stub.ModelStreamInfer(iter([message]), timeout=CALL_SECONDS)]
        found["before"].append("OK" if len(answers) == FRAMES + 1 else str(answers[-1]))

    async def events(tag: int) -> None:
        wish = payloads.Good(tag=tag, rows=1, width=1, parameters={"count": FRAMES, "work": 0.001})
        path = f"/v2/models/{payloads.MODEL}/infer_stream?slow=wait"
        data = await raw_http.exchange(
            port, raw_http.post(path, json.dumps(wish.document()).encode()), pause_seconds=0.3
        )
        assert data is not None
        body = raw_http.parse(data).body
        found["before"].append(
            "OK" if body.count(b"event: frame") == FRAMES and b'"final":true' in body else repr(body)
        )

    async with grpc.aio.insecure_channel(server.grpc) as channel:
        stub = GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        async with asyncio.timeout(CALL_SECONDS), asyncio.TaskGroup() as group:
            for tag in range(CALLS):
                group.create_task(unary(stub, tag, "before") if tag % 2 else rest(tag))
            for tag in range(STREAMS):
                group.create_task(stream(stub, tag) if tag % 2 else events(tag))
            await accepted.wait()
            while not ended.is_set():
                await unary(stub, 1, "after")
                await asyncio.sleep(0.01)
    return found


def test_a_server_that_ends_under_load_answers_everything_that_it_accepted(tmp_path: Path) -> None:
    options = ("--max-queue-depth", "1000", "--drain-timeout", "60s", "--drain-delay", "0")
    gate = Gate(tmp_path)
    with Server(SOURCE, *options) as server, server.stub() as stub:

        async def run() -> dict[str, list[str]]:
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
        found = asyncio.run(run())
        assert held.result(timeout=CALL_SECONDS)
        assert found["before"] == ["OK"] * (CALLS + STREAMS), set(found["before"])
        assert set(found["after"]) <= {"OK", "refused"}
        assert "refused" in found["after"]
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
