"""The log's line about a call that took long."""

from __future__ import annotations

import logging

import pytest

from atheria_contract.json_log import fields_of
from atheria_server.core.errors import StartError
from atheria_server.engine.calls import Call
from atheria_server.slow_calls import BURST, SlowCalls, read_slow_calls


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    # The server's own set-up, should another test have made it, keeps lines from the root.
    monkeypatch.setattr(logging.getLogger("atheria"), "propagate", True)
    caplog.set_level(logging.WARNING, "atheria")
    return caplog


def test_the_line_says_how_much_was_queue_and_how_much_the_worker(lines: pytest.LogCaptureFixture) -> None:
    call = Call(bucket=1, rows=2, queue_seconds=3.25, inference_seconds=1.5, batch_rows=8)
    SlowCalls(1.0).ended(call, model="qca", code="OK", seconds=5.0, request_id="a b", now_s=1.0)
    [line] = lines.messages
    assert fields_of(line) == {
        "event": "slow_call",
        "model": "qca",
        "code": "OK",
        "seconds": 5.0,
        "queue_seconds": 3.25,
        "inference_seconds": 1.5,
        "batch_rows": 8,
        "rows": 2,
        "request_id": "a b",
        "lines_left_out": 0,
    }


def test_a_server_on_which_every_call_is_slow_writes_a_few_lines(lines: pytest.LogCaptureFixture) -> None:
    slow = SlowCalls(1.0)
    for _ in range(1000):
        slow.ended(Call(bucket=1), model="m", code="OK", seconds=2.0, request_id="", now_s=7.0)
    assert len(lines.messages) == BURST
    slow.ended(Call(bucket=1), model="m", code="OK", seconds=2.0, request_id="", now_s=8.0)
    assert fields_of(lines.messages[-1])["lines_left_out"] == 1000 - BURST


def test_the_threshold_is_a_setting_and_zero_means_that_no_call_is_slow() -> None:
    assert read_slow_calls({}).seconds == 10.0
    assert read_slow_calls({"ATHERIA_SLOW_CALL_SECONDS": "0.5"}).seconds == 0.5
    assert read_slow_calls({"ATHERIA_SLOW_CALL_SECONDS": "0"}).seconds > 1e9


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "1e9"])
def test_a_threshold_that_is_none_ends_the_start(text: str) -> None:
    with pytest.raises(StartError, match=r"ATHERIA_SLOW_CALL_SECONDS is .*; allowed: seconds from 0"):
        read_slow_calls({"ATHERIA_SLOW_CALL_SECONDS": text})
