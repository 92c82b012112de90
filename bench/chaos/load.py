"""Steady calls through the gateway: sent at drawn times whatever became of the earlier ones, each with an id of its own."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import numpy as np

from atheria_contract import names
from atheria_contract.generated import inference_pb2 as pb
from atheria_contract.generated import inference_pb2_grpc
from bench.chaos.records import Call

HEADER_CALL: Final = "chaos-call"
"""Request header with the call's id, for Envoy's log."""
DEADLINE_SECONDS: Final = 280.0
"""Below the time that a gateway holds a call for at most."""
DELAY_SECONDS: Final = 0.05
FRAMES: Final = 3
_CHANNELS: Final = 3


@dataclass(slots=True, kw_only=True)
class Load:
    """The callers: `run` for each model, then `finish`."""

    targets: Mapping[str, str]
    """host:port by the gateway's name."""
    namespace: str
    calls: list[Call] = field(default_factory=list)
    _channels: list[tuple[str, grpc.aio.Channel]] = field(default_factory=list)
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    def open(self) -> None:
        """Connect; needs a running loop."""
        options = [
            # A caller that sends again by itself would hide what is lost.
            ("grpc.enable_retries", 0),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ]
        self._channels = [
            (gateway, grpc.aio.insecure_channel(target, options=options))
            for _ in range(_CHANNELS)
            for gateway, target in self.targets.items()
        ]
        for _, channel in self._channels:
            channel.get_state(try_to_connect=True)

    async def run(
        self, model: str, *, per_second: float, stream_share: float, rng: random.Random, stop: asyncio.Event
    ) -> None:
        """Poisson arrivals until `stop` is set."""
        next_at = time.monotonic()
        while not stop.is_set():
            next_at += rng.expovariate(per_second)
            is_stream = rng.random() < stream_share
            if (pause := next_at - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            number = len(self.calls) + 1
            gateway, channel = self._connected(number)
            call = Call(
                id=number, model=model, is_stream=is_stream, sent_seconds=time.monotonic(), gateway=gateway
            )
            self.calls.append(call)
            task = asyncio.create_task(self._send(call, channel), name=f"call {call.id}")
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def finish(self) -> None:
        """Wait for all answers, at most the calls' own deadline, and close."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=DEADLINE_SECONDS + 5)
        for _, channel in self._channels:
            await channel.close()

    @property
    def in_flight(self) -> int:
        """Calls without an answer yet."""
        return len(self._under_way)

    def _connected(self, number: int) -> tuple[str, grpc.aio.Channel]:
        """The next channel that is connected, as a client that balances over addresses takes it; without one, the next."""
        first = number % len(self._channels)
        turns = [*self._channels[first:], *self._channels[:first]]
        ready = grpc.ChannelConnectivity.READY
        return next((one for one in turns if one[1].get_state(try_to_connect=True) is ready), turns[0])

    async def _send(self, call: Call, channel: grpc.aio.Channel) -> None:
        stub: Any = inference_pb2_grpc.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        metadata = (
            (names.HEADER_MODEL, names.model_key(self.namespace, call.model)),
            (HEADER_CALL, str(call.id)),
        )
        options: dict[str, Any] = {
            "metadata": metadata,
            "timeout": DEADLINE_SECONDS,
            # For a gateway that is being started again; a connection that breaks with the call on it fails the call.
            "wait_for_ready": True,
        }
        try:
            if call.is_stream:
                call.failure = await _stream(stub, request_of(call), options)
            else:
                answer = await stub.ModelInfer(request_of(call), **options)
                call.failure = "" if _value(answer) == call.id else f"the answer is {_value(answer)}"
        except grpc.aio.AioRpcError as error:
            call.failure = f"{error.code().name}: {error.details()}"
        finally:
            call.ended_seconds = time.monotonic()


def request_of(call: Call) -> pb.ModelInferRequest:
    """The request whose first number is the call's id."""
    x = np.array([[call.id]], np.float32)
    request = pb.ModelInferRequest(model_name=call.model, id=str(call.id))
    request.inputs.add(name="x", datatype="FP32", shape=x.shape)
    request.raw_input_contents.append(x.tobytes())
    request.parameters["delay"].double_param = DELAY_SECONDS
    if call.is_stream:
        request.parameters["count"].int64_param = FRAMES
    return request


async def _stream(stub: Any, request: pb.ModelInferRequest, options: dict[str, Any]) -> str:
    stream = stub.ModelStreamInfer(**options)
    await stream.write(request)
    await stream.done_writing()
    frames = 0
    async for answer in stream:
        if answer.error_message:
            return f"in the stream: {answer.error_message}"
        if answer.infer_response.raw_output_contents:
            frames += 1
    if frames != FRAMES:
        return f"the stream ended after {frames} of {FRAMES} frames"
    return ""


def _value(answer: pb.ModelInferResponse) -> int:
    return int(np.frombuffer(answer.raw_output_contents[0], np.float32)[0])
