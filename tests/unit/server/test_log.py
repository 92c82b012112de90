"""Lines of the log: what a call's trace adds."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from atheria_contract.trace_context import TraceContext
from atheria_server.current_trace import TRACE
from atheria_server.log import LineFormatter

ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def in_a_trace() -> Iterator[None]:
    token = TRACE.set(TraceContext(trace_id=ID, span_id="00f067aa0ba902b7", sampled=False))
    yield
    TRACE.reset(token)


def line(*, failed: bool = False) -> str:
    try:
        raise ValueError("broken")
    except ValueError as error:
        found = (ValueError, error, error.__traceback__) if failed else None
        record = logging.LogRecord("atheria.x", logging.ERROR, "f", 1, "event=%s", ("e",), found)
        record.created, record.msecs = 0.25, 250.0
        return LineFormatter().format(record)


def test_a_line_is_time_level_logger_and_fields() -> None:
    assert line() == "1970-01-01T00:00:00.250Z ERROR atheria.x event=e"


@pytest.mark.usefixtures("in_a_trace")
def test_a_line_of_a_call_names_its_trace_whether_sampled_or_not() -> None:
    assert line() == f"1970-01-01T00:00:00.250Z ERROR atheria.x event=e trace_id={ID}"


@pytest.mark.usefixtures("in_a_trace")
def test_the_trace_stands_on_the_first_line_before_a_traceback() -> None:
    first, *rest = line(failed=True).splitlines()
    assert first.endswith(f"trace_id={ID}")
    assert rest[-1] == "ValueError: broken"
