"""The calls that are measured: a model's own warm-up calls with the parameters that a person asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from atheria_server.models.contract import Scalar, WarmupCall


def sample_call(
    api: Any, shape: Sequence[int] = (), *, rows: int, parameters: Mapping[str, Scalar] | None = None
) -> WarmupCall:
    """A call of `rows` rows of this shape (without the batch dimension; empty = the model's own default).

    Raises InvalidRequestError for a shape that the model cannot compute.
    """
    call = api.warmup_calls([tuple(shape)] if shape else [], rows)[0]
    return WarmupCall(inputs=call.inputs, parameters={**call.parameters, **(parameters or {})})
