"""Which values of `traceparent` and `tracestate` count, by the W3C's rules."""

from __future__ import annotations

import pytest

from atheria_contract.trace_context import TraceContext, parse_trace_context

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


def test_a_valid_header_gives_trace_span_and_whether_it_is_sampled() -> None:
    found = parse_trace_context(f"00-{TRACE}-{SPAN}-01", "vendor=1,other=2")
    assert found == TraceContext(trace_id=TRACE, span_id=SPAN, sampled=True, state="vendor=1,other=2")


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True)])
def test_only_the_lowest_flag_says_sampled(flags: str, sampled: bool) -> None:
    found = parse_trace_context(f"00-{TRACE}-{SPAN}-{flags}")
    assert found is not None
    assert found.sampled is sampled


def test_a_later_version_may_carry_more_after_the_flags() -> None:
    assert parse_trace_context(f"01-{TRACE}-{SPAN}-01-what-comes-later") is not None
    assert parse_trace_context(f"01-{TRACE}-{SPAN}-01") is not None


def test_blanks_around_the_value_do_not_count() -> None:
    assert parse_trace_context(f" \t00-{TRACE}-{SPAN}-01 ") is not None


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01-",
        f"01-{TRACE}-{SPAN}-01more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",
        "00-" + "٣" * 32 + f"-{SPAN}-01",
    ],
)
def test_anything_else_is_as_if_nothing_was_sent(header: str) -> None:
    assert parse_trace_context(header) is None


def test_a_state_that_is_too_long_is_left_out() -> None:
    assert parse_trace_context(f"00-{TRACE}-{SPAN}-01", "x=" + "y" * 510) is not None
    found = parse_trace_context(f"00-{TRACE}-{SPAN}-01", "x=" + "y" * 511)
    assert found is not None
    assert found.state == ""
