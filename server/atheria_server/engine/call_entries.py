"""Calls as a message to a worker describes them. Used by `engine.process` only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from atheria_server.engine import memory
from atheria_server.engine.calls import Call


def entries(writer: memory.BodyWriter, calls: Sequence[Call]) -> list[dict[str, Any]]:
    """The batch as the worker reads it; the tensors go into `writer`."""
    first = calls[0]
    if first.body:
        return [{"api_path": call.api_path, "body": writer.add_parts(call.body)} for call in calls]
    if first.described:
        inputs = [writer.add(name, [call.inputs[name] for call in calls]) for name in first.inputs]
        rows = sum(call.rows for call in calls)
        return [{"tensors": inputs, "parameters": dict(first.parameters), "rows": rows}]
    return [
        {"tensors": writer.add_all(call.inputs), "parameters": dict(call.parameters), "rows": 1}
        for call in calls
    ]


def wanted_outputs(calls: Sequence[Call]) -> list[str] | None:
    """Outputs that anybody in the batch asked for; None = all."""
    if any(not call.outputs for call in calls):
        return None
    return sorted({name for call in calls for name in call.outputs})
