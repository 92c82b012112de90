"""A gRPC stream that nobody reads gives its place up, and says so to who reads at last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from atheria_contract.generated import inference_pb2 as pb
from atheria_server.transport.grpc_service import InferenceServicer


class Endless(InferenceServicer):
    """Frames without end, for one request."""

    def __init__(self) -> None:
        super().__init__(None, info=None, server_version="1", max_message_bytes=1024, stall_seconds=0.05)  # type: ignore[arg-type]
        self.ended = asyncio.Event()

    async def frames(self, data: bytes) -> AsyncGenerator[bytes]:
        try:
            while True:
                yield b"frame"
        finally:
            self.ended.set()


async def one_request() -> AsyncIterator[Any]:
    yield pb.ModelInferRequest(model_name="m", id="7").SerializeToString()


async def test_a_reader_that_stands_still_ends_the_computation_and_learns_it_by_the_requests_id() -> None:
    servicer = Endless()
    answers = servicer.ModelStreamInfer(one_request(), None)
    assert await anext(answers) == b"frame"
    await asyncio.wait_for(servicer.ended.wait(), 30)
    *frames, last = [answer async for answer in answers]
    assert set(frames) == {b"frame"}
    final = pb.ModelStreamInferResponse.FromString(last)
    assert "no answer was read for 0.05 s" in final.error_message
    assert final.infer_response.id == "7"
    assert final.infer_response.parameters["triton_final_response"].bool_param
