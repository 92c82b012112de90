"""Recorded or made-up calls, and the files that people keep them in. Read by `atheria replay` and bench/autoscaling."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

TIME_COLUMNS: Final = ("time", "timestamp", "arrival_seconds")
SERVICE_COLUMNS: Final = ("service_seconds", "duration_seconds")
INPUT_COLUMNS: Final = ("input_tokens", "contexttokens", "prompt_tokens")
OUTPUT_COLUMNS: Final = ("output_tokens", "generatedtokens", "completion_tokens")


class TrafficError(ValueError):
    """A file of calls that cannot be used; the message names file, line, column and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, as it came and as it would be served by a pod with a free slot."""

    arrival_seconds: float
    """Since the start of the record."""
    service_seconds: float
    """Time in a slot."""
    first_token_seconds: float = 0.0
    """The part of it until the first token; 0 where nothing streams."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenModel:
    """Service seconds from tokens: `base + per_input * input + per_output * output`."""

    base_seconds: float = 0.05
    per_input_token_seconds: float = 0.0001
    per_output_token_seconds: float = 0.02

    def call(self, arrival_seconds: float, input_tokens: int, output_tokens: int) -> Call:
        """The call with so many tokens."""
        first = self.base_seconds + self.per_input_token_seconds * input_tokens
        return Call(
            arrival_seconds=arrival_seconds,
            service_seconds=first + self.per_output_token_seconds * output_tokens,
            first_token_seconds=first,
        )


def read_calls(path: Path, tokens: TokenModel) -> tuple[Call, ...]:
    """The calls of a .csv or .jsonl file in order of arrival, the first at 0 seconds.

    Columns (case does not matter): `time` (seconds, or ISO 8601), and `service_seconds`, or `input_tokens` and
    `output_tokens`. Raises TrafficError.
    """
    if path.suffix not in (".csv", ".jsonl"):
        raise TrafficError(f"{path}: ends in {path.suffix!r}; allowed: .csv with a header line, or .jsonl")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TrafficError(f"{path}: {error}") from error
    rows = _csv_rows(text) if path.suffix == ".csv" else _json_rows(path, text)
    found = [_call(path, line, row, tokens) for line, row in rows]
    if not found:
        raise TrafficError(f"{path}: has no call; give at least one line with time and service_seconds")
    found.sort(key=lambda call: call.arrival_seconds)
    first = found[0].arrival_seconds
    return tuple(
        Call(
            arrival_seconds=call.arrival_seconds - first,
            service_seconds=call.service_seconds,
            first_token_seconds=call.first_token_seconds,
        )
        for call in found
    )


def work_seconds(calls: Sequence[Call]) -> float:
    """Seconds of slots that the calls need in all."""
    return math.fsum(call.service_seconds for call in calls)


def _csv_rows(text: str) -> Iterable[tuple[int, Mapping[str, Any]]]:
    return enumerate(csv.DictReader(text.splitlines()), start=2)


def _json_rows(path: Path, text: str) -> Iterable[tuple[int, Mapping[str, Any]]]:
    for line, one in enumerate(text.splitlines(), start=1):
        if not one.strip():
            continue
        try:
            row = json.loads(one)
        except ValueError as error:
            raise TrafficError(f"{path}:{line}: is no JSON object: {error}") from error
        if not isinstance(row, dict):
            raise TrafficError(f"{path}:{line}: is no JSON object")
        yield line, row


def _call(path: Path, line: int, row: Mapping[str, Any], tokens: TokenModel) -> Call:
    values = {
        str(name).strip().lower(): value for name, value in row.items() if value is not None and value != ""
    }
    time = _first(values, TIME_COLUMNS)
    if time is None:
        raise TrafficError(f"{path}:{line}: has no time; name its column one of {', '.join(TIME_COLUMNS)}")
    arrival = _seconds_of(path, line, time)
    service = _first(values, SERVICE_COLUMNS)
    if service is not None:
        return Call(arrival_seconds=arrival, service_seconds=_number(path, line, "service_seconds", service))
    read, written = _first(values, INPUT_COLUMNS), _first(values, OUTPUT_COLUMNS)
    if read is None or written is None:
        raise TrafficError(
            f"{path}:{line}: has neither service_seconds nor both input_tokens and output_tokens; add one of them"
        )
    return tokens.call(
        arrival,
        int(_number(path, line, "input_tokens", read)),
        int(_number(path, line, "output_tokens", written)),
    )


def _first(values: Mapping[str, Any], columns: Sequence[str]) -> Any | None:
    return next((values[column] for column in columns if column in values), None)


def _number(path: Path, line: int, name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise TrafficError(f"{path}:{line}: {name} is {value!r}; allowed: a number from 0")
    return number


def _seconds_of(path: Path, line: int, value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        pass
    else:
        if math.isfinite(seconds):
            return seconds
        raise TrafficError(f"{path}:{line}: time is {value!r}; allowed: seconds, or ISO 8601")
    text = str(value).strip().replace("Z", "+00:00")
    whole, dot, rest = text.partition(".")
    if dot:
        # More than six digits of a second (some recorders write seven) are not read by Python 3.11.
        digits = len(rest) - len(rest.lstrip("0123456789"))
        text = f"{whole}.{rest[: min(digits, 6)]}{rest[digits:]}"
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise TrafficError(f"{path}:{line}: time is {value!r}; allowed: seconds, or ISO 8601") from error
