"""Callers of every protocol: each makes one call (or a connection of several) and says how each was answered.

A caller raises AssertionError for an answer that is wrong, doubled, cut short or without a reason; a call that its caller
left has no answer and is `LEFT`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from atheria_contract.generated import inference_pb2 as pb
from tests.integration.server.soak import payloads, raw_http

LEFT = "LEFT"
INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
WEATHER = frozenset({"RESOURCE_EXHAUSTED", "UNAVAILABLE"})
"""What may meet a good call under load: a full queue, a dead worker."""
REASONS = {"RESOURCE_EXHAUSTED": {"QUEUE_FULL", "TOO_LARGE"}, "UNAVAILABLE": {"WORKER_DIED"}}
FINE = frozenset({"OK"}) | WEATHER
LATE = FINE | {"DEADLINE_EXCEEDED"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one call ended."""

    kind: str
    code: str
    """Of gRPC, also for HTTP; or LEFT."""
    text: str = ""
    tag: int | None = None
    """Of a good call."""
    method: str = ""
    """infer or stream, if the model's service must have counted it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to call."""

    channels: list[Any]
    grpc_port: int
    http_port: int


def _checked(outcome: Outcome, allowed: frozenset[str]) -> Outcome:
    assert outcome.code in allowed | {LEFT}, f"{outcome} (allowed: {sorted(allowed)})"
    assert outcome.text or outcome.code in ("OK", LEFT), f"no reason: {outcome}"
    return outcome


async def _unary(
    target: Target,
    random: Random,
    request: bytes,
    *,
    timeout: float | None = None,
    leave_after: float | None = None,
) -> tuple[str, str, Any]:
    """Code, text and ModelInferResponse."""
    method = random.choice(target.channels).unary_unary(
        INFER, response_deserializer=pb.ModelInferResponse.FromString
    )
    call = method(request, timeout=timeout)
    leaver = None if leave_after is None else asyncio.get_running_loop().call_later(leave_after, call.cancel)
    try:
        answer = await call
        return "OK", "", answer
    except grpc.RpcError as error:
        _check_reason(error)
        return error.code().name, error.details(), None
    except asyncio.CancelledError:
        if leaver is None or leaver.when() > asyncio.get_running_loop().time():
            raise
        return LEFT, "", None
    finally:
        if leaver is not None:
            leaver.cancel()


def _check_reason(error: grpc.RpcError) -> None:
    code = error.code().name
    if code not in REASONS:
        return
    packed = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    assert packed, f"{code} without details: {error.details()}"
    info = error_details_pb2.ErrorInfo()
    status_pb2.Status.FromString(packed).details[0].Unpack(info)
    assert info.reason in REASONS[code], f"{code} with reason {info.reason!r}"


def _array(answer: Any) -> Any:
    (output,), (raw,) = answer.outputs, answer.raw_output_contents
    assert (output.name, output.datatype) == ("y", "FP32")
    return np.frombuffer(raw, np.float32).reshape(tuple(output.shape))


async def grpc_good(target: Target, random: Random, tag: int) -> list[Outcome]:
    """One answer, by gRPC; some with a deadline, some are left."""
    wish = payloads.good(random, tag)
    message = wish.message()
    kind, allowed, options = "grpc", FINE, {}
    match random.randrange(4):
        case 0:
            kind, allowed = "grpc deadline", LATE
            if random.random() < 0.5:
                options["timeout"] = random.uniform(0.0005, 0.05)
            else:
                message.parameters["timeout"].int64_param = random.randint(1, 50_000)
        case 1:
            kind, options = "grpc left", {"leave_after": random.uniform(0, 0.03)}
    code, text, answer = await _unary(target, random, message.SerializeToString(), **options)
    if answer is not None:
        assert answer.id == str(tag)
        assert wish.is_answered_by(_array(answer)), f"the answer of another call: {tag}"
    counted = "" if kind in ("grpc left", "grpc deadline") else "infer"
    return [_checked(Outcome(kind=kind, code=code, text=text, tag=tag, method=counted), allowed)]


async def grpc_wrong(target: Target, random: Random, tag: int) -> list[Outcome]:
    """A message that the protocol allows and the server must refuse."""
    kind, message, allowed = payloads.wrong_message(random, tag)
    code, text, _ = await _unary(target, random, message.SerializeToString())
    return [_checked(Outcome(kind=f"grpc wrong {kind}", code=code, text=text, method="infer"), allowed)]


async def grpc_garbage(target: Target, random: Random, tag: int) -> list[Outcome]:
    """Bytes that are no message, or a damaged one, which may be anything but the call of another."""
    if random.random() < 0.7:
        # Without parameters, which would tell the model to do what it cannot: sleep for -0.001 s.
        whole = replace(payloads.good(random, tag), parameters={}).message().SerializeToString()[:4096]
        data = payloads.with_tag(payloads.damaged(random, whole), tag)
    else:
        data = payloads.garbage(random)
    code, text, _ = await _unary(target, random, data)
    allowed = FINE | payloads.INVALID | payloads.UNKNOWN
    return [_checked(Outcome(kind="grpc garbage", code=code, text=text), allowed)]


async def grpc_model_fails(target: Target, random: Random, tag: int) -> list[Outcome]:
    """The model raises."""
    wish = payloads.Good(tag=tag, rows=1, width=1, parameters={"fail": "no luck"})
    code, text, _ = await _unary(target, random, wish.message().SerializeToString())
    assert code != "INTERNAL" or "no luck" in text
    return [
        _checked(
            Outcome(kind="grpc model fails", code=code, text=text, tag=tag, method="infer"),
            WEATHER | {"INTERNAL"},
        )
    ]


async def grpc_stream(target: Target, random: Random, tag: int) -> list[Outcome]:
    """Several requests on one stream; a frame of each is in order, and each has exactly one end."""
    counts: dict[str, int] = {}
    kinds: dict[str, tuple[str, frozenset[str]]] = {}
    requests = []
    for number in range(random.randint(1, 4)):
        name = str(number)
        if random.random() < 0.3:
            kind, message, _ = payloads.wrong_message(random, tag)
            message.id, kinds[name] = name, (f"grpc stream wrong {kind}", frozenset({"ERROR"}))
        else:
            counts[name] = random.choice([1, 2, 5, 30])
            message = payloads.Good(
                tag=tag, rows=1, width=random.choice([1, 1, 2048]), parameters={"count": counts[name]}
            ).message()
            message.id, kinds[name] = name, ("grpc stream", frozenset({"OK", "ERROR"}))
        requests.append(message)
    leaves = random.random() < 0.25
    timeout = random.uniform(0.001, 0.1) if random.random() < 0.15 else None
    method = random.choice(target.channels).stream_stream(
        STREAM,
        request_serializer=pb.ModelInferRequest.SerializeToString,
        response_deserializer=pb.ModelStreamInferResponse.FromString,
    )
    call = method(iter(requests), timeout=timeout)
    seen: dict[str, list[int]] = {name: [] for name in kinds}
    ends: dict[str, Outcome] = {}
    left_at = random.randrange(20) if leaves else None
    answers = 0
    try:
        async for answer in call:
            answers += 1
            _note_answer(answer, kinds, seen, ends)
            if left_at is not None and answers > left_at:
                call.cancel()
                break
            if random.random() < 0.05:
                await asyncio.sleep(random.uniform(0, 0.02))
        else:
            leaves = False
    except grpc.RpcError as error:
        # grpc's client says INTERNAL where the deadline comes while it writes, or that it cancelled the call itself.
        written_late = "Internal error from Core" in error.details()
        if timeout is None or not (written_late or error.code() is grpc.StatusCode.DEADLINE_EXCEEDED):
            raise
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if timeout is None or (task is not None and task.cancelling()):
            raise
    for name, steps in seen.items():
        assert steps == list(range(1, len(steps) + 1)), f"{tag}.{name}: {steps}"
    if not leaves and timeout is None:
        assert set(ends) == set(kinds), f"no end: {sorted(set(kinds) - set(ends))}"
        for name, end in ends.items():
            assert end.code != "OK" or len(seen[name]) == counts[name], f"{tag}.{name} lacks frames"
    missing = [Outcome(kind=kinds[name][0], code=LEFT) for name in kinds if name not in ends]
    return [*(_checked(end, kinds[name][1]) for name, end in ends.items()), *missing]


def _note_answer(
    answer: Any,
    kinds: dict[str, tuple[str, frozenset[str]]],
    seen: dict[str, list[int]],
    ends: dict[str, Outcome],
) -> None:
    response = answer.infer_response
    name = response.id
    assert name in kinds, f"an answer to nobody: {answer}"
    assert name not in ends, f"an answer after the end: {answer}"
    if response.parameters["triton_final_response"].bool_param:
        code = "ERROR" if answer.error_message else "OK"
        ends[name] = Outcome(kind=kinds[name][0], code=code, text=answer.error_message, method="stream")
    else:
        seen[name].append(response.parameters["step"].int64_param)


async def _post(
    target: Target,
    random: Random,
    path: str,
    body: bytes,
    headers: dict[str, str] | None = None,
    **options: Any,
) -> raw_http.HttpAnswer | None:
    data = await raw_http.exchange(target.http_port, raw_http.post(path, body, headers), **options)
    return None if data is None else raw_http.parse(data)


def _path(name: str) -> str:
    return f"/v2/models/{payloads.MODEL}/{name}"


def _http_outcome(
    kind: str, answer: raw_http.HttpAnswer | None, tag: int | None, method: str, allowed: frozenset[str]
) -> Outcome:
    if answer is None:
        return Outcome(kind=kind, code=LEFT, tag=tag)
    text = "" if answer.status == 200 else answer.error
    if answer.status in (429, 503):
        assert answer.headers["retry-after"]
    return _checked(Outcome(kind=kind, code=answer.code, text=text, tag=tag, method=method), allowed)


async def rest_good(target: Target, random: Random, tag: int) -> list[Outcome]:
    """One answer, by REST: JSON or binary; some with a deadline, some are left."""
    wish = payloads.good(random, tag)
    is_binary = wish.width > 64 or random.random() < 0.5
    kind, allowed, options = ("rest binary" if is_binary else "rest json"), FINE, {}
    method = "infer"
    match random.randrange(5):
        case 0:
            kind, allowed = f"{kind} deadline", LATE
            wish.parameters["timeout"] = random.randint(1, 50_000)
        case 1:
            kind, method, options = f"{kind} left", "", {"leave_after": random.uniform(0, 0.03)}
    body, headers = wish.binary() if is_binary else (json.dumps(wish.document()).encode(), {})
    answer = await _post(target, random, _path("infer"), body, headers, **options)
    if answer is not None and answer.status == 200:
        assert wish.is_answered_by(_rest_array(answer)), f"the answer of another call: {tag}"
    return [_http_outcome(kind, answer, tag, method, allowed)]


def _rest_array(answer: raw_http.HttpAnswer) -> Any:
    length = int(answer.headers.get(payloads.HEADER_LENGTH.lower(), len(answer.body)))
    (output,) = json.loads(answer.body[:length])["outputs"]
    if "data" in output:
        return np.asarray(output["data"], np.float32).reshape(output["shape"])
    return np.frombuffer(answer.body[length:], np.float32).reshape(output["shape"])


async def rest_wrong(target: Target, random: Random, tag: int) -> list[Outcome]:
    """Bodies that must be refused, to one answer or to a stream."""
    if random.random() < 0.6:
        kind, body = payloads.wrong_body(random)
        headers = None
    else:
        kind, body, headers = payloads.wrong_binary(random, tag)
    path, method = random.choice([("infer", "infer"), ("infer_stream", "stream")])
    answer = await _post(target, random, _path(path), body, headers)
    return [_http_outcome(f"rest wrong {kind}", answer, None, method, payloads.INVALID)]


async def http_garbage(target: Target, random: Random, tag: int) -> list[Outcome]:
    """Bytes that are not HTTP, or end too early, to either port. Whatever comes back, the connection ends."""
    whole = raw_http.post(_path("infer"), json.dumps(payloads.good(random, tag).document()).encode()[:2048])
    kind = random.choice(["cut", "garbage", "damaged", "grpc port", "two lengths", "slow head"])
    port = target.http_port
    match kind:
        case "cut":
            data = whole[: random.randrange(1, len(whole))]
        case "garbage":
            data = payloads.garbage(random) + b"\r\n\r\n"
        case "damaged":
            data = payloads.damaged(random, whole)
        case "grpc port":
            data, port = random.choice([whole, payloads.garbage(random)]), target.grpc_port
        case "two lengths":
            data = raw_http.post(_path("infer"), b"{}", {"Transfer-Encoding": "chunked"})
        case _:
            data = whole[:30]
    await raw_http.exchange(port, data, ends=True, leave_after=1.0)
    return [Outcome(kind=f"http garbage {kind}", code=LEFT)]


async def events(target: Target, random: Random, tag: int) -> list[Outcome]:
    """Server-sent events: whole, slow, or left."""
    count = random.choice([1, 3, 40])
    wish = payloads.Good(tag=tag, rows=1, width=random.choice([1, 1, 2048]), parameters={"count": count})
    slow = random.choice(["drop", "wait"])
    options: dict[str, Any] = {}
    match random.randrange(4):
        case 0:
            options = {"leave_after": random.uniform(0, 0.05)}
        case 1:
            options = {"pause_seconds": random.uniform(0, 0.1)}
    body = json.dumps(wish.document()).encode()
    answer = await _post(target, random, f"{_path('infer_stream')}?slow={slow}", body, **options)
    if answer is None:
        return [Outcome(kind="events", code=LEFT, tag=tag)]
    if answer.status != 200:
        return [_http_outcome("events", answer, tag, "stream", FINE)]
    documents = [
        json.loads(line[6:]) for line in answer.body.decode().split("\n") if line.startswith("data: ")
    ]
    return [_frames_outcome("events", documents, count, tag, slow)]


def _frames_outcome(kind: str, documents: list[Any], count: int, tag: int, slow: str) -> Outcome:
    *frames, end = documents
    indices = [frame["index"] for frame in frames]
    assert indices == sorted(set(indices)), f"{tag}: order {indices}"
    assert "index" not in end, f"{tag}: no end, but {end}"
    if "error" in end:
        return _checked(
            Outcome(kind=kind, code=end["code"], text=end["error"], tag=tag, method="stream"), WEATHER
        )
    assert end["dropped"] == count - len(frames), f"{tag}: {end} after {len(frames)} of {count}"
    assert end["dropped"] == 0 or slow == "drop"
    return Outcome(kind=kind, code="OK", tag=tag, method="stream")


async def websocket(target: Target, random: Random, tag: int) -> list[Outcome]:
    """A few requests on one connection, wrong ones among them; some connections are left in the middle."""
    url = f"ws://127.0.0.1:{target.http_port}{_path('stream')}"
    found: list[Outcome] = []
    leaves = random.random() < 0.3
    try:
        async with connect(url, ping_interval=None, max_size=None, open_timeout=60, close_timeout=5) as ws:
            for _ in range(random.randint(1, 3)):
                if random.random() < 0.4:
                    kind, body = payloads.wrong_body(random)
                    await ws.send(body.decode("latin-1") if kind == "latin" else body.decode("utf-8"))
                    end = json.loads(await ws.recv())
                    found.append(
                        _checked(
                            Outcome(
                                kind=f"websocket wrong {kind}",
                                code=end["code"],
                                text=end["error"],
                                method="stream",
                            ),
                            payloads.INVALID,
                        )
                    )
                    continue
                count = random.choice([1, 3, 40])
                wish = payloads.Good(tag=tag, rows=1, width=1, parameters={"count": count})
                await ws.send(json.dumps(wish.document()))
                if leaves and random.random() < 0.5:
                    found.append(Outcome(kind="websocket", code=LEFT, tag=tag))
                    ws.transport.abort()
                    break
                documents = [json.loads(await ws.recv())]
                while "index" in documents[-1]:
                    documents.append(json.loads(await ws.recv()))
                found.append(_frames_outcome("websocket", documents, count, tag, "drop"))
    except ConnectionClosed:
        assert leaves, f"{tag}: the server closed the connection"
    return found


async def websocket_junk(target: Target, random: Random, tag: int) -> list[Outcome]:
    """Frames that hold no request are answered with an error; for too many at once, or no frames at all, the server closes."""
    url = f"ws://127.0.0.1:{target.http_port}{_path('stream')}"
    kind = random.choice(["binary", "many", "bytes", "unknown model"])
    if kind == "unknown model":
        with pytest.raises(InvalidStatus, match="404"):
            await connect(url.replace("/m/", "/n/"), open_timeout=60)
        return [Outcome(kind="websocket junk unknown model", code="NOT_FOUND", text="404")]
    async with connect(url, ping_interval=None, max_size=None, open_timeout=60, close_timeout=5) as ws:
        try:
            match kind:
                case "binary":
                    await ws.send(payloads.garbage(random))
                case "many":
                    body = json.dumps(
                        payloads.Good(
                            tag=tag, rows=1, width=1, parameters={"work": 0.02, "count": 3}
                        ).document()
                    )
                    for _ in range(12):
                        await ws.send(body)
                case _:
                    ws.transport.write(b"\xff" + random.randbytes(64))
            ends = 0
            while ends < (1 if kind == "binary" else 12):
                ends += "index" not in json.loads(await ws.recv())
            text = "all answered, with errors"  # the queue was full all the while
        except ConnectionClosed as error:
            text = error.rcvd.reason if error.rcvd else ""
            assert kind == "bytes" or text, f"{kind}: closed without a reason"
    return [Outcome(kind=f"websocket junk {kind}", code="INVALID_ARGUMENT", text=text or "closed")]


Caller = Callable[[Target, Random, int], Awaitable[list[Outcome]]]
CALLERS: dict[Caller, int] = {
    grpc_good: 30,
    grpc_wrong: 12,
    grpc_garbage: 6,
    grpc_model_fails: 2,
    grpc_stream: 12,
    rest_good: 14,
    rest_wrong: 8,
    http_garbage: 4,
    events: 5,
    websocket: 5,
    websocket_junk: 2,
}
"""With their shares of all calls, in percent."""
