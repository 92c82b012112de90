"""A pod that gives back what it gets, as fast as gRPC for Python does. Started by the benchmark: `python -m bench.gateway.echo PORT MILLISECONDS`."""

from __future__ import annotations

import asyncio
import sys
from typing import Final

import grpc
import uvloop

METHOD: Final = "/bench.Echo/Call"
PLACES: Final = 8


async def serve(port: int, compute_seconds: float) -> None:
    """Until killed. With `compute_seconds` it answers PLACES calls at once, each after so long, as a device beside the processor."""
    places = asyncio.Semaphore(PLACES)

    async def call(request: bytes, _: object) -> bytes:
        if compute_seconds:
            async with places:
                await asyncio.sleep(compute_seconds)
        return request

    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)])
    handler = grpc.unary_unary_rpc_method_handler(call)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Call": handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))
