"""The caller's trace, read from gRPC metadata and from HTTP headers."""

from __future__ import annotations

import contextvars
from types import SimpleNamespace
from typing import Any

import pytest

from atheria_contract.trace_context import TraceContext
from atheria_server.current_trace import TRACE
from atheria_server.transport.trace_headers import GrpcTrace, HttpTrace

ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{ID}-00f067aa0ba902b7-01"
Headers = list[tuple[str, str]]


async def by_grpc(headers: Headers) -> TraceContext | None:
    async def handler(_: Any) -> TraceContext | None:
        return TRACE.get()

    details = SimpleNamespace(invocation_metadata=tuple(headers))
    found: TraceContext | None = await GrpcTrace().intercept_service(handler, details)
    return found


async def by_http(headers: Headers, kind: str = "http") -> TraceContext | None:
    found: list[TraceContext | None] = []

    async def app(*_: Any) -> None:
        found.append(TRACE.get())

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    raw = [(key.encode(), value.encode("latin-1")) for key, value in headers]
    await HttpTrace(app)({"type": kind, "headers": raw}, nothing, nothing)
    return found[0]


@pytest.fixture(params=[by_grpc, by_http])
def read(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_a_caller_without_a_trace_has_none(read: Any) -> None:
    assert await read([("user-agent", "x")]) is None
    assert await read([]) is None
    assert await read([("tracestate", "a=1")]) is None


async def test_the_trace_is_the_one_of_the_headers(read: Any) -> None:
    found = await read([("user-agent", "x"), ("tracestate", "a=1"), ("traceparent", PARENT)])
    assert found == TraceContext(trace_id=ID, span_id="00f067aa0ba902b7", sampled=True, state="a=1")


async def test_several_states_are_one_list(read: Any) -> None:
    found = await read([("traceparent", PARENT), ("tracestate", "a=1,b=2"), ("tracestate", "c=3")])
    assert found.state == "a=1,b=2,c=3"


async def test_two_parents_are_none(read: Any) -> None:
    assert await read([("traceparent", PARENT), ("traceparent", PARENT)]) is None


async def test_a_bad_parent_is_none(read: Any) -> None:
    assert await read([("traceparent", "00-\xe4-01")]) is None


async def test_a_websocket_has_a_trace_too() -> None:
    assert await by_http([("traceparent", PARENT)], "websocket") is not None


async def test_the_next_request_of_a_connection_does_not_inherit_the_trace() -> None:
    async def two() -> TraceContext | None:
        await by_http([("traceparent", PARENT)])
        assert TRACE.get() is not None  # the same context, as of requests that are pipelined
        return await by_http([])

    assert await contextvars.copy_context().run(two) is None


async def test_the_start_and_end_of_the_application_pass() -> None:
    passed = []

    async def app(scope: Any, *_: Any) -> None:
        passed.append(scope["type"])

    await HttpTrace(app)({"type": "lifespan"}, app, app)
    assert passed == ["lifespan"]
