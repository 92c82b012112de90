"""The order of a LitAPI's hooks, what each of them gets, and what becomes of what they raise."""

from __future__ import annotations

import asyncio
import inspect
import select
import threading
from typing import Any

import litserve
import numpy as np
import pytest
from fastapi import HTTPException
from litserve.callbacks.base import Callback, CallbackRunner

from atheria_server.core.errors import InvalidCallError
from atheria_server.engine import bodies
from atheria_server.engine.async_frames import FRAMES_AHEAD
from atheria_server.engine.hooks import PlainModel, PlainRequest, compute_plain, pack_frame, stream_plain
from atheria_server.models.served import API_PATH, Served


def model(*apis: Any, callbacks: CallbackRunner | None = None) -> PlainModel:
    for api in apis:
        api.pre_setup()
    return PlainModel(Served(apis=apis), callbacks)


def body(value: Any, path: str = "/predict") -> PlainRequest:
    return PlainRequest(parameters={API_PATH: path}, body=value)


def tensors(**parameters: Any) -> PlainRequest:
    return PlainRequest(parameters=parameters, tensors={"x": np.ones(2, np.float32)})


class Noted(litserve.LitAPI):
    """Notes its hooks; a request of 0 fails in predict, one of -1 in encode_response."""

    def decode_request(self, request: Any, context: Any) -> Any:
        context["request"] = request
        return request

    def batch(self, inputs: Any) -> Any:
        return np.array(inputs)

    def predict(self, x: Any, context: Any) -> Any:
        if np.any(np.asarray(x) == 0):
            raise HTTPException(404, "zero")
        return x * 10

    def encode_response(self, output: Any, context: Any) -> Any:
        if output < 0:
            raise ValueError("negative")
        return {"out": int(output), "of": context["request"]}


def test_a_failing_call_fails_alone_with_its_own_exception() -> None:
    results = compute_plain(model(Noted(max_batch_size=8)), [body(1), body(0), body(-1), body(4)])
    assert results[0] == {"out": 10, "of": 1}
    assert results[3] == {"out": 40, "of": 4}
    assert isinstance(results[1], HTTPException)
    assert isinstance(results[2], ValueError)


def test_a_body_that_could_not_be_read_fails_its_own_call_alone() -> None:
    results = compute_plain(model(Noted(max_batch_size=8)), [body(1), body(InvalidCallError("bad")), body(4)])
    assert [result["of"] for result in (results[0], results[2])] == [1, 4]
    assert isinstance(results[1], InvalidCallError)


@pytest.mark.parametrize("size", [1, 2, 8])
def test_batches_are_no_larger_than_the_litapi_wants(size: int) -> None:
    sizes: list[int] = []

    class Sized(litserve.LitAPI):
        def predict(self, x: Any) -> Any:
            sizes.append(len(x) if size > 1 else 1)
            return x

    assert compute_plain(model(Sized(max_batch_size=size)), [body(i) for i in range(5)]) == list(range(5))
    assert max(sizes) == min(size, 5)


def test_signatures_are_read_once_and_not_for_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    made = model(Noted())

    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("a signature was read for a call")

    monkeypatch.setattr(inspect, "signature", forbidden)
    assert compute_plain(made, [body(1)]) == [{"out": 10, "of": 1}]


def test_too_few_results_are_a_failure_that_says_so() -> None:
    class Short(litserve.LitAPI):
        def predict(self, x: Any) -> Any:
            return x[:1] if len(x) > 1 else []

    results = compute_plain(model(Short(max_batch_size=4)), [body(1), body(2)])
    assert all("0 results for 1 calls" in str(error) for error in results)


def test_parameters_are_in_the_context_and_in_the_request_and_the_path_is_in_neither() -> None:
    class Shown(litserve.LitAPI):
        def decode_request(self, request: Any, context: Any) -> Any:
            return sorted(request), dict(request["parameters"]), dict(context)

        def predict(self, x: Any) -> Any:
            return x

    made = model(litserve.LitAPI(api_path="/first"), Shown(api_path="/second"))
    (shown,) = compute_plain(made, [tensors(api_path="/second", scale=2)])
    assert shown == (["parameters", "x"], {"scale": 2}, {"scale": 2})


def test_async_calls_run_side_by_side_and_fail_alone() -> None:
    class Meeting(litserve.LitAPI):
        def __init__(self) -> None:
            super().__init__(enable_async=True)
            self.gate = asyncio.Event()

        async def decode_request(self, request: Any) -> Any:
            return request

        async def predict(self, x: Any) -> Any:
            if x == "open":
                self.gate.set()
            if x == "cancel":
                raise asyncio.CancelledError
            await asyncio.wait_for(self.gate.wait(), 30)
            return x

        async def encode_response(self, output: Any) -> Any:
            return output

    made = model(Meeting())
    assert made.async_loop is not None
    calls = [stream_plain(made, body(x)) for x in ("wait", "cancel", "open")]
    while not all(call.ready for call in calls):
        assert select.select([made.async_loop], [], [], 30)[0], "no call ended"
        made.async_loop.drain()
    assert [next(calls[0]), next(calls[2])] == ["wait", "open"]
    with pytest.raises(RuntimeError, match="cancelled its own call"):
        next(calls[1])


def test_an_async_stream_runs_ahead_only_so_far_and_ends_when_nobody_waits() -> None:
    made_frames: list[int] = []
    closed = threading.Event()

    class Endless(litserve.LitAPI):
        async def decode_request(self, request: Any) -> Any:
            return request

        async def predict(self, x: Any) -> Any:
            try:
                for i in range(1000):
                    made_frames.append(i)
                    yield i
            finally:
                closed.set()

        async def encode_response(self, output: Any) -> Any:
            async for value in output:
                yield value

    made = model(Endless(enable_async=True, stream=True))
    assert made.async_loop is not None
    frames = stream_plain(made, body(0))
    taken = []
    while len(taken) < 10:
        assert select.select([made.async_loop], [], [], 30)[0], "no frame"
        made.async_loop.drain()
        while frames.ready:
            taken.append(next(frames))
    assert taken[:10] == list(range(10))
    assert len(made_frames) <= len(taken) + FRAMES_AHEAD + 1
    frames.close()
    assert closed.wait(30)


class Steps(litserve.LitAPI):
    def predict(self, x: Any) -> Any:
        yield 1
        if x == "refuse":
            raise HTTPException(418, {"no": "tea"}, {"x-pot": "1"})
        yield 2

    def encode_response(self, output: Any) -> Any:
        for value in output:
            yield {"value": np.int64(value)}


def test_a_frame_and_an_http_exception_reach_litserves_own_route_as_they_are() -> None:
    made = model(Steps(stream=True))
    entry = {"api_path": "/predict", "body": []}
    frames = [pack_frame(made, entry, frame) for frame in stream_plain(made, body("go"))]
    assert [bodies.unpack_answer(frame) for frame in frames] == ['{"value": 1}\n', '{"value": 2}\n']
    frames = [pack_frame(made, entry, frame) for frame in stream_plain(made, body("refuse"))]
    with pytest.raises(bodies.HttpError) as refused:
        bodies.unpack_answer(frames[-1])
    assert (refused.value.status, refused.value.detail) == (418, {"no": "tea"})
    assert refused.value.headers == {"x-pot": "1"}


def test_an_http_exception_of_a_stream_by_the_protocol_is_raised() -> None:
    class Refuse(Steps):
        def decode_request(self, request: Any) -> Any:
            return "refuse"

    frames = stream_plain(model(Refuse(stream=True)), tensors())
    assert next(frames) == {"value": 1}
    with pytest.raises(HTTPException):
        next(frames)


def test_callbacks_hear_of_each_hook_once_a_batch_and_of_streams_as_litserve_says_it() -> None:
    heard: list[str] = []

    class Ear(Callback):
        def __getattribute__(self, name: str) -> Any:
            if name.startswith("on_"):
                return lambda **_: heard.append(name)
            return super().__getattribute__(name)

    runner = CallbackRunner([Ear()])
    compute_plain(model(Noted(max_batch_size=4), callbacks=runner), [body(1), body(2)])
    once = [
        f"on_{when}_{what}"
        for what in ("decode_request", "predict", "encode_response")
        for when in ("before", "after")
    ]
    assert heard == once
    heard.clear()
    list(stream_plain(model(Steps(stream=True), callbacks=runner), body("go")))
    assert heard == [*once[:5], "on_after_predict", "on_after_encode_response"]


def test_views_are_given_only_to_those_who_ask_and_compute_at_once() -> None:
    class Views(litserve.LitAPI):
        oip_views = True

        def predict(self, x: Any) -> Any:
            return x

    class AsyncViews(Views):
        async def decode_request(self, request: Any) -> Any:
            return request

        async def predict(self, x: Any) -> Any:
            return x

        async def encode_response(self, output: Any) -> Any:
            return output

    assert model(Views()).of({}).takes_views
    assert not model(litserve.LitAPI()).of({}).takes_views
    assert not model(AsyncViews(enable_async=True)).of({}).takes_views
