"""Request parameters that belong to the protocol, not to the model. `engine.service` reads them for each call of either transport."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from atheria_server.core.errors import InvalidCallError
from atheria_server.core.infer import InferRequest, Scalar
from atheria_server.core.request import PRIORITY_DEFAULT, PRIORITY_HIGHEST, PRIORITY_LOWEST

FROM_FRAME: Final = "from_frame"
"""Of a stream: index of the first frame that the caller wants. Earlier ones are computed and not sent."""
PROTOCOL_PARAMETERS: Final = frozenset(
    {
        FROM_FRAME,
        "triton_enable_empty_final_response",
        "sequence_id",
        "sequence_start",
        "sequence_end",
        "priority",
        "timeout",
        "binary_data_output",
    }
)
"""`timeout` is in microseconds."""


def of_model(parameters: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Those that the model gets."""
    return {name: value for name, value in parameters.items() if name not in PROTOCOL_PARAMETERS}


def patience_seconds(request: InferRequest) -> float | None:
    """Seconds that the caller still waits: the call's own deadline or `timeout`, whichever is less. Raises InvalidCallError."""
    asked = _timeout_seconds(request.parameters)
    known = [seconds for seconds in (request.timeout_seconds, asked) if seconds is not None]
    return min(known, default=None)


def first_frame(parameters: Mapping[str, Scalar]) -> int:
    """Index of the first frame that is sent. Raises InvalidCallError."""
    value = parameters.get(FROM_FRAME, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidCallError(
            f"parameter {FROM_FRAME} is {value!r}; expected the index of a frame, a whole number from 0"
        )
    return value


def priority(parameters: Mapping[str, Scalar]) -> int:
    """Place in the queue, as core/request.py counts it. Raises InvalidCallError."""
    value = parameters.get("priority", 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= PRIORITY_LOWEST:
        raise InvalidCallError(
            f"parameter priority is {value!r}; expected {PRIORITY_HIGHEST} (first) to {PRIORITY_LOWEST} (last), "
            f"or 0 for {PRIORITY_DEFAULT}"
        )
    return value or PRIORITY_DEFAULT


def _timeout_seconds(parameters: Mapping[str, Scalar]) -> float | None:
    value = parameters.get("timeout")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidCallError(
            f"parameter timeout is {value!r}; expected microseconds, a whole number from 0"
        )
    return value / 1e6 if value else None
