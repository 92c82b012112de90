"""The Open Inference Protocol over gRPC: each method is a translation to `engine.service` and back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Final

import grpc
import grpc.aio

from atheria_contract.generated import inference_pb2 as pb
from atheria_contract.generated.inference_pb2_grpc import GRPCInferenceServiceServicer
from atheria_server.core.errors import CallError, FailedError, NotBegunError, TooLargeError
from atheria_server.core.infer import InferAnswer, InferRequest
from atheria_server.engine.service import VERSION, ModelService
from atheria_server.transport import grpc_codec as codec
from atheria_server.transport.errors import grpc_trailers
from atheria_server.transport.model_info import PLATFORM

_LOG = logging.getLogger("atheria.grpc")
SERVER_NAME: Final = "atheria"
EXTENSIONS: Final = (
    "model_streaming",
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "statistics",
)
REQUESTS_PER_STREAM: Final = 64
"""Requests of one stream that are computed at once; further ones wait unread."""
_ANSWERS_AHEAD: Final = 4


class InferenceServicer(GRPCInferenceServiceServicer):
    """Serves one model."""

    def __init__(self, service: ModelService, *, server_version: str, max_message_bytes: int) -> None:
        self._service = service
        self._server_version = server_version
        self._max_message_bytes = max_message_bytes
        self._streams: set[_Stream] = set()

    async def ServerLive(self, _request: Any, _context: Any) -> Any:
        """The process answers, so it lives."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, _request: Any, _context: Any) -> Any:
        """Loaded, warm, and not draining."""
        return pb.ServerReadyResponse(ready=self._service.engine.ready)

    async def ModelReady(self, request: Any, context: Any) -> Any:
        """As ServerReady, for the one model."""
        await self._check_name(request, context)
        return pb.ModelReadyResponse(ready=self._service.engine.ready)

    async def ServerMetadata(self, _request: Any, _context: Any) -> Any:
        """Name and version of the server."""
        return pb.ServerMetadataResponse(
            name=SERVER_NAME, version=self._server_version, extensions=EXTENSIONS
        )

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        """Inputs and outputs; empty for a LitAPI that does not describe them."""
        await self._check_name(request, context)
        message = pb.ModelMetadataResponse(name=self._service.name, versions=[VERSION], platform=PLATFORM)
        for target, specs in (
            (message.inputs, self._service.metadata.inputs),
            (message.outputs, self._service.metadata.outputs),
        ):
            for spec in specs:
                target.add(name=spec.name, datatype=spec.datatype, shape=spec.shape)
        return message

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        """One answer."""
        try:
            answer = await self._service.infer(self._read("infer", request, context.time_remaining()))
            return self._write(request, answer)
        except CallError as error:
            await _abort(context, error)

    async def ModelStreamInfer(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """Answers of each request in its order; those of different requests may interleave."""
        stream = _Stream(self, requests)
        self._streams.add(stream)
        try:
            async for answer in stream.answers():
                yield answer
        finally:
            self._streams.discard(stream)
            await stream.close()
        if stream.ended_by_server:
            await _abort(context, NotBegunError("the server is shutting down; call again"))

    def end_streams(self) -> None:
        """Clients that keep a stream open without a request would keep the server from ending."""
        for stream in self._streams:
            stream.end()

    async def frames(self, request: Any) -> AsyncGenerator[Any]:
        """ModelStreamInferResponses for one request of a stream; a failure is one of them."""
        try:
            async with aclosing(self._service.stream(self._read("stream", request, None))) as answers:
                async for answer in answers:
                    yield pb.ModelStreamInferResponse(infer_response=self._write(request, answer))
        except CallError as error:
            final = codec.write_final(request, VERSION)
            yield pb.ModelStreamInferResponse(error_message=str(error), infer_response=final)
            return
        yield pb.ModelStreamInferResponse(infer_response=codec.write_final(request, VERSION))

    def _read(self, method: str, request: Any, timeout_seconds: float | None) -> InferRequest:
        began = time.perf_counter()
        try:
            return codec.read_request(request, timeout_seconds)
        except CallError as error:
            self._service.refused(method, error)
            raise
        finally:
            self._service.events.decoded(time.perf_counter() - began)

    def _write(self, request: Any, answer: InferAnswer) -> Any:
        began = time.perf_counter()
        message = codec.write_answer(request, answer, VERSION)
        self._service.events.encoded(time.perf_counter() - began)
        if (size := message.ByteSize()) > self._max_message_bytes:
            raise TooLargeError(
                f"the answer has {size} bytes, at most {self._max_message_bytes} are allowed; "
                "ask for fewer rows or name fewer outputs"
            )
        return message

    async def _check_name(self, request: Any, context: Any) -> None:
        try:
            self._service.check_name(request.name, request.version)
        except CallError as error:
            await _abort(context, error)


class _Stream:
    """One open ModelStreamInfer: reads requests, computes them side by side, and hands their answers on."""

    def __init__(self, servicer: InferenceServicer, requests: AsyncIterator[Any]) -> None:
        self._servicer = servicer
        self._requests = requests
        self._answers: asyncio.Queue[Any] = asyncio.Queue(_ANSWERS_AHEAD)
        self._places = asyncio.Semaphore(REQUESTS_PER_STREAM)
        self._tasks: set[asyncio.Task[None]] = set()
        self._reader = asyncio.create_task(self._read())
        self._closer: asyncio.Task[None] | None = None
        self.ended_by_server = False

    async def answers(self) -> AsyncIterator[Any]:
        """Until the client has said that it sends no more and everything is answered."""
        while (answer := await self._answers.get()) is not None:
            yield answer

    def end(self) -> None:
        """Read no more requests; what is computed is still answered."""
        self.ended_by_server = True
        self._reader.cancel()

    async def close(self) -> None:
        """Stop everything that still runs."""
        tasks = [self._reader, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._closer is not None:
            self._closer.cancel()

    async def _read(self) -> None:
        try:
            async for request in self._requests:
                await self._places.acquire()
                task = asyncio.create_task(self._answer(request))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        except asyncio.CancelledError:
            if not self.ended_by_server:
                raise
        finally:
            self._closer = asyncio.create_task(self._put_end())

    async def _put_end(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._answers.put(None)

    async def _answer(self, request: Any) -> None:
        try:
            async with aclosing(self._servicer.frames(request)) as answers:
                async for answer in answers:
                    await self._answers.put(answer)
        except Exception as error:  # noqa: BLE001 - a stream outlives one failed request
            _LOG.exception("event=stream_failed")
            failure = FailedError(f"the server failed with {type(error).__name__}; see its log")
            await self._answers.put(pb.ModelStreamInferResponse(error_message=str(failure)))
        finally:
            self._places.release()


async def _abort(context: Any, error: CallError) -> None:
    await context.abort(grpc.StatusCode[error.code], str(error), grpc_trailers(error))
