"""The reference: the shortest good gRPC server that batches. Started by the benchmark: `python -m bench.serving.bare PORT`.

One process: grpc.aio, an asyncio.Queue, one thread for the model. It has none of what a product needs (bounds, deadlines,
cancellation, validation, metrics, health), so it is what a team would write first, and fast.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import uvloop

from atheria_contract.generated import inference_pb2 as pb
from atheria_contract.generated.inference_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)
from bench.serving import model

Item = tuple[bytes, "asyncio.Future[bytes]"]


class Batcher:
    """Collects up to `max_batch` calls, or those of `window_seconds` since the first; one batch at a time is computed."""

    def __init__(self, compute: Callable[[model.Array], model.Array], window_seconds: float) -> None:
        self._compute = compute
        self._window_seconds = window_seconds
        self._queue: asyncio.Queue[Item] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1)

    async def call(self, raw: bytes) -> bytes:
        """The output's bytes."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((raw, future))
        return await future

    async def run(self) -> None:
        """For ever."""
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._collect()
            outputs = await loop.run_in_executor(self._thread, self._run_batch, [raw for raw, _ in batch])
            for (_, future), output in zip(batch, outputs, strict=True):
                if not future.done():
                    future.set_result(output)

    async def _collect(self) -> list[Item]:
        batch = [await self._queue.get()]
        self._take_waiting(batch)
        if len(batch) < model.MAX_BATCH and self._window_seconds > 0:
            try:
                async with asyncio.timeout(self._window_seconds):
                    while len(batch) < model.MAX_BATCH:
                        batch.append(await self._queue.get())
                        self._take_waiting(batch)
            except TimeoutError:
                pass
        return batch

    def _take_waiting(self, batch: list[Item]) -> None:
        while len(batch) < model.MAX_BATCH and not self._queue.empty():
            batch.append(self._queue.get_nowait())

    def _run_batch(self, raws: list[bytes]) -> list[bytes]:
        rows = np.frombuffer(b"".join(raws), np.float32).reshape(len(raws), *model.ROW_SHAPE)
        return [row.tobytes() for row in self._compute(rows)]


class Service(GRPCInferenceServiceServicer):
    """ModelInfer only."""

    def __init__(self, call: Callable[[bytes], Any]) -> None:
        self._call = call

    async def ModelInfer(self, request: Any, _context: Any) -> Any:
        """One input as raw bytes, one output as raw bytes."""
        answer = pb.ModelInferResponse(model_name=request.model_name, id=request.id)
        answer.outputs.add(name=model.OUTPUT, datatype="FP32", shape=model.CALL_SHAPE)
        answer.raw_output_contents.append(await self._call(request.raw_input_contents[0]))
        return answer


async def _echo(raw: bytes) -> bytes:
    return raw


async def serve(port: int, window_seconds: float, echo: bool) -> None:
    """Until the process is ended."""
    server = grpc.aio.server()
    batcher = Batcher(model.Model(), window_seconds)
    add_GRPCInferenceServiceServicer_to_server(Service(_echo if echo else batcher.call), server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await batcher.run()


def main() -> None:
    """Parse and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--window-seconds", type=float, default=model.WINDOW_SECONDS)
    parser.add_argument("--echo", action="store_true", help="give the input back, without batcher and model")
    parser.add_argument("--asyncio", action="store_true", help="asyncio's own event loop instead of uvloop")
    options = parser.parse_args()
    run = asyncio.run if options.asyncio else uvloop.run
    run(serve(options.port, options.window_seconds, options.echo))


if __name__ == "__main__":
    main()
