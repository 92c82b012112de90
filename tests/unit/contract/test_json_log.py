"""Log lines as JSON."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atheria_contract.json_log import JsonFormatter, TextFormatter, fields_of, log_format

ID = "4bf92f3577b34da6a3ce929d0e0e4736"


def record(
    message: str, *arguments: Any, trace_id: str = "", error: Exception | None = None
) -> logging.LogRecord:
    found = (type(error), error, error.__traceback__) if error else None
    one = logging.LogRecord("atheria.x", logging.WARNING, "f", 1, message, arguments, found)
    one.created = 0.25
    if trace_id:
        one.trace_id = trace_id
    return one


def line(*arguments: Any, **more: Any) -> dict[str, Any]:
    return dict(json.loads(JsonFormatter().format(record(*arguments, **more))))


def test_fields_become_keys_and_numbers_stay_numbers() -> None:
    assert line(
        "event=slow_call model=%s seconds=%.3f rows=%d request_id=%r", "qca", 1.5, 3, 'it\'s a "b"'
    ) == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "WARNING",
        "logger": "atheria.x",
        "event": "slow_call",
        "model": "qca",
        "seconds": 1.5,
        "rows": 3,
        "request_id": 'it\'s a "b"',
    }


@pytest.mark.parametrize("message", ["woke demo/qca", "a=1 and b=2", "a=1 b", "=1", "", "a='open"])
def test_a_line_that_is_not_only_fields_is_a_message(message: str) -> None:
    assert fields_of(message) == {}
    assert line("%s", message)["message"] == message


def test_a_field_never_takes_the_place_of_the_lines_own_keys() -> None:
    assert fields_of("time=1 level=low a= b=2e3") == {"_time": 1, "_level": "low", "a": "", "b": 2000.0}


def test_text_and_long_digits_stay_as_they_are() -> None:
    assert fields_of(f"trace={ID} n=007 x=1.2.3 y='2'") == {"trace": ID, "n": "007", "x": "1.2.3", "y": "2"}


def _refused(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


_DIGITS = st.text("0123456789.eE+-infNaty'", max_size=40)


@given(st.lists(_DIGITS | st.text(max_size=20), max_size=4))
@example(["1e999", "-1e999", "inf", "nan", "NaN", "-Infinity"])
@example(["999999999999999." + "9" * 400 + "e99", "1e99"])
def test_every_line_is_json_whatever_its_fields_are(values: list[str]) -> None:
    text = " ".join(f"f{number}={value}" for number, value in enumerate(values))
    told = JsonFormatter().format(record("%s", text))
    assert "\n" not in told
    json.loads(told, parse_constant=_refused)


def test_the_trace_is_the_records_own_or_that_of_the_call_that_is_answered() -> None:
    answered = JsonFormatter(lambda: "of the call")
    assert json.loads(answered.format(record("a=1")))["trace_id"] == "of the call"
    assert json.loads(answered.format(record("a=1", trace_id=ID)))["trace_id"] == ID
    assert "trace_id" not in line("a=1")
    assert TextFormatter().format(record("woke", trace_id=ID)).endswith(f"woke trace_id={ID}")


def test_an_exception_stays_on_the_line() -> None:
    try:
        raise ValueError("broken")
    except ValueError as error:
        text = JsonFormatter().format(record("event=failed", error=error))
    assert "\n" not in text
    assert json.loads(text)["error_trace"].endswith("ValueError: broken")


def test_the_format_is_text_unless_it_is_named() -> None:
    assert log_format({}) == "text"
    assert log_format({"ATHERIA_LOG_FORMAT": "json"}) == "json"
    with pytest.raises(ValueError, match="ATHERIA_LOG_FORMAT is 'xml': use one of text, json"):
        log_format({"ATHERIA_LOG_FORMAT": "xml"})
