"""Log lines as one JSON object each, the same way in every part: chosen by names.ENV_LOG_FORMAT.

Our lines are `key=value` fields, and each field becomes a key of the object; what is no such line is its `message`. The fields of a
line that belongs to a call's trace have its `trace_id`, by which logs, spans and the gateway's access log are found together.
"""

from __future__ import annotations

import ast
import json
import logging
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from atheria_contract import names

TEXT: Final = "text"
JSON: Final = "json"
FORMATS: Final = (TEXT, JSON)
_VALUE: Final = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s'"]\S*|"""
_FIELD: Final = re.compile(rf"([A-Za-z_]\w*)=({_VALUE})(?:\s+|$)")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d+)?(?:e[+-]?\d{1,2})?")
_OWN: Final = frozenset({"time", "level", "logger", "message", "error_trace"})
"""Keys of every line; a field of such a name is put behind an underscore."""


class JsonFormatter(logging.Formatter):
    """One object a line: `time`, `level`, `logger`, the line's fields or its `message`, `trace_id`, and `error_trace` of an exception."""

    def __init__(self, trace_id: Callable[[], str] = str) -> None:
        """`trace_id` tells the trace of the call that is being answered, empty for none; a record's own `trace_id` wins."""
        super().__init__()
        self._trace_id = trace_id

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
        }
        message = record.getMessage()
        line |= fields_of(message) or {"message": message}
        if trace_id := getattr(record, "trace_id", "") or self._trace_id():
            line["trace_id"] = trace_id
        if record.exc_info:
            line["error_trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, allow_nan=False, default=str)


class TextFormatter(logging.Formatter):
    """Time, level, logger and message, and `trace_id` where the record has one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line without a traceback."""
        trace_id = getattr(record, "trace_id", "")
        return super().formatMessage(record) + (f" trace_id={trace_id}" if trace_id else "")


def configure_log(level: str, kind: str) -> None:
    """Of activator and operator: one line a record on stderr, as TEXT or JSON."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if kind == JSON else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler])


def log_format(environment: Mapping[str, str]) -> str:
    """TEXT or JSON. Raises ValueError that names the variable, its value and the allowed ones."""
    value = environment.get(names.ENV_LOG_FORMAT) or TEXT
    if value not in FORMATS:
        raise ValueError(f"{names.ENV_LOG_FORMAT} is {value!r}: use one of {', '.join(FORMATS)}")
    return value


def fields_of(message: str) -> dict[str, Any]:
    """The fields of a line that has nothing else, numbers as numbers; empty for any other line."""
    found: dict[str, Any] = {}
    place = 0
    while place < len(message):
        match = _FIELD.match(message, place)
        if match is None:
            return {}
        key, value = match.groups()
        found[f"_{key}" if key in _OWN else key] = _read(value)
        place = match.end()
    return found


def _read(text: str) -> Any:
    if _NUMBER.fullmatch(text):
        return float(text) if any(mark in text for mark in ".e") else int(text)
    if text[:1] in ("'", '"'):
        try:
            return str(ast.literal_eval(text))
        except (ValueError, SyntaxError):
            return text[1:-1]
    return text
