"""Sample requests of the settings (`warmup.requests`) as calls. Part of `optimize.pipeline`."""

from __future__ import annotations

from collections.abc import Sequence

from atheria_server.core.errors import WARMUP_FAILED, CallError, ModelRefusedError
from atheria_server.models.contract import WarmupCall
from atheria_server.transport.rest_codec import read_request


def parse_requests(texts: Sequence[str]) -> list[WarmupCall]:
    """Each text is the JSON body of REST's `infer`. Raises ModelRefusedError that names the index."""
    calls = []
    for index, text in enumerate(texts):
        try:
            request, _ = read_request("", "", text.encode(), None)
        except CallError as error:
            raise ModelRefusedError(WARMUP_FAILED, f"warmup.requests[{index}]: {error}") from error
        calls.append(WarmupCall(inputs=request.inputs, parameters=request.parameters))
    return calls
