"""The Open Inference Protocol over gRPC: each method is a translation to `engine.service` and back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.json_format import ParseDict

from atheria_contract.generated import inference_pb2 as pb
from atheria_contract.generated.inference_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)
from atheria_server.core.errors import CallError, FailedError, NotBegunError, TooLargeError
from atheria_server.core.infer import InferAnswer, InferRequest
from atheria_server.engine.service import VERSION, ModelService
from atheria_server.transport import grpc_codec as codec
from atheria_server.transport.errors import grpc_trailers
from atheria_server.transport.grpc_not_offered import SERVICE
from atheria_server.transport.grpc_wire import AnswerWriter
from atheria_server.transport.model_info import PLATFORM, ModelInfo

_LOG = logging.getLogger("atheria.grpc")
SERVER_NAME: Final = "atheria"
EXTENSIONS: Final = (
    "model_streaming",
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "statistics",
)
UNARY: Final = "infer"
REQUESTS_PER_STREAM: Final = 64
"""Requests of one stream that are computed at once; further ones wait unread."""
STALL_SECONDS: Final = 60.0
"""A request whose answers nobody reads for so long gives its place to others."""
_ANSWERS_AHEAD: Final = 4


class InferenceServicer(GRPCInferenceServiceServicer):
    """Serves one model."""

    def __init__(
        self,
        service: ModelService,
        *,
        info: ModelInfo,
        server_version: str,
        max_message_bytes: int,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self._service = service
        self._info = info
        self._server_version = server_version
        self._max_message_bytes = max_message_bytes
        self._stall_seconds = stall_seconds
        self._streams: set[_Stream] = set()
        self._writer = AnswerWriter(VERSION)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register all methods; those that carry tensors read and write their messages themselves."""
        handlers = {
            "ModelInfer": grpc.unary_unary_rpc_method_handler(self.ModelInfer),
            "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(self.ModelStreamInfer),
        }
        add_GRPCInferenceServiceServicer_to_server(self, server)  # type: ignore[no-untyped-call]
        # Of two registered handlers for a method the later one is taken.
        server.add_registered_method_handlers(SERVICE, handlers)

    async def ServerLive(self, _request: Any, _context: Any) -> Any:
        """The process answers, so it lives."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, _request: Any, _context: Any) -> Any:
        """Loaded, warm, and not draining."""
        return pb.ServerReadyResponse(ready=self._service.ready)

    async def ModelReady(self, request: Any, context: Any) -> Any:
        """As ServerReady, for the one model."""
        await self._check_name(request, context)
        return pb.ModelReadyResponse(ready=self._service.ready)

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

    async def ModelInfer(self, data: bytes, context: Any) -> Any:
        """One answer."""
        try:
            message = self._parse(UNARY, data)
            request = self._read(UNARY, message, context.time_remaining())
            answer = await self._service.infer(request)
            return self._write(message, answer, self._writer.infer)
        except CallError as error:
            await _abort(context, error)

    async def ModelStreamInfer(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """Answers of each request in its order; those of different requests may interleave."""
        stream = _Stream(self, requests, self._stall_seconds)
        self._streams.add(stream)
        try:
            async for answer in stream.answers():
                yield answer
        finally:
            self._streams.discard(stream)
            await stream.close()
        if stream.ended_by_server:
            await _abort(context, NotBegunError("the server is shutting down; call again"))

    async def ModelConfig(self, request: Any, context: Any) -> Any:
        """What the server was started with."""
        config = await _answered(context, lambda: self._info.config(request.name, request.version))
        return ParseDict({"config": config}, pb.ModelConfigResponse())

    async def ModelStatistics(self, request: Any, context: Any) -> Any:
        """Since the start of the process."""
        found = await _answered(context, lambda: self._info.statistics(request.name, request.version))
        return ParseDict(found, pb.ModelStatisticsResponse())

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:
        """The one model."""
        models = await _answered(
            context, lambda: self._info.index(request.repository_name, only_ready=request.ready)
        )
        return ParseDict({"models": models}, pb.RepositoryIndexResponse())

    async def RepositoryModelLoad(self, _request: Any, context: Any) -> Any:
        """Refused: one model from start to end."""
        await _answered(context, lambda: self._info.refuse_change("load"))

    async def RepositoryModelUnload(self, _request: Any, context: Any) -> Any:
        """Refused, as RepositoryModelLoad."""
        await _answered(context, lambda: self._info.refuse_change("unload"))

    def end_streams(self) -> None:
        """Clients that keep a stream open without a request would keep the server from ending."""
        for stream in self._streams:
            stream.end()

    async def frames(self, data: bytes) -> AsyncGenerator[bytes]:
        """ModelStreamInferResponses for one request of a stream; a failure is one of them."""
        message = pb.ModelInferRequest()
        failure = ""
        try:
            message = self._parse("stream", data)
            request = self._read("stream", message, None)
            async with aclosing(self._service.stream(request)) as answers:
                async for answer in answers:
                    yield self._write(message, answer, self._writer.frame)
        except CallError as error:
            failure = str(error)
        yield _final(message, failure)

    def _parse(self, method: str, data: bytes) -> Any:
        """The message. Raises CallError."""
        try:
            if method == UNARY:  # a refusal on a stream carries the request's id
                self._service.engine.check_room()
            return codec.parse_request(data)
        except CallError as error:
            self._service.refused(method, error)
            raise

    def _read(self, method: str, message: Any, timeout_seconds: float | None) -> InferRequest:
        """What the message asks. Raises CallError."""
        began = time.perf_counter()
        try:
            return codec.read_request(message, timeout_seconds)
        except CallError as error:
            self._service.refused(method, error)
            raise
        except Exception as error:
            _LOG.exception("event=request_unreadable bytes=%d", message.ByteSize())
            failure = FailedError(f"the server failed with {type(error).__name__}; see its log")
            self._service.refused(method, failure)
            raise failure from error
        finally:
            self._service.events.decoded(time.perf_counter() - began)

    def _write(self, request: Any, answer: InferAnswer, write: Callable[[Any, InferAnswer], bytes]) -> bytes:
        began = time.perf_counter()
        message = write(request, answer)
        self._service.events.encoded(time.perf_counter() - began)
        if (size := len(message)) > self._max_message_bytes:
            raise TooLargeError(
                f"the answer has {size} bytes, at most {self._max_message_bytes} are allowed; "
                "ask for fewer rows or name fewer outputs"
            )
        return message

    async def _check_name(self, request: Any, context: Any) -> None:
        await _answered(context, lambda: self._service.check_name(request.name, request.version))


class _Stream:
    """One open ModelStreamInfer: reads requests, computes them side by side, and hands their answers on."""

    def __init__(
        self, servicer: InferenceServicer, requests: AsyncIterator[Any], stall_seconds: float
    ) -> None:
        self._servicer = servicer
        self._stall_seconds = stall_seconds
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
        """Read no more requests; what is computed is still answered. A client that has sent all of its own sees no end."""
        if not self._reader.done():
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

    async def _answer(self, data: bytes) -> None:
        try:
            async with aclosing(self._servicer.frames(data)) as answers:
                async for answer in answers:
                    async with asyncio.timeout(self._stall_seconds):
                        await self._answers.put(answer)
        except TimeoutError:
            _LOG.warning("event=reader_stalled seconds=%g", self._stall_seconds)
            text = (
                f"no answer was read for {self._stall_seconds:g} s, so the computation was ended; ask again"
            )
            await self._answers.put(_final(codec.parse_request(data), text))
        except Exception as error:  # noqa: BLE001 - a stream outlives one failed request
            _LOG.exception("event=stream_failed")
            failure = FailedError(f"the server failed with {type(error).__name__}; see its log")
            await self._answers.put(_final(pb.ModelInferRequest(), str(failure)))
        finally:
            self._places.release()


def _final(message: Any, failure: str) -> bytes:
    """The last ModelStreamInferResponse for the ModelInferRequest, with what went wrong, if anything did."""
    final = codec.write_final(message, VERSION)
    written: bytes = pb.ModelStreamInferResponse(
        error_message=failure, infer_response=final
    ).SerializeToString()
    return written


async def _answered(context: Any, answer: Callable[[], Any]) -> Any:
    try:
        return answer()
    except CallError as error:
        await _abort(context, error)


async def _abort(context: Any, error: CallError) -> None:
    await context.abort(grpc.StatusCode[error.code], str(error), grpc_trailers(error))
