"""A model in this process, called as the server calls it: for the pipeline and for the commands.

Nothing is queued, batched or sent: a call is checked and computed, and its outputs are copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from atheria_server.engine.hooks import PlainModel, PlainRequest, compute_described, compute_plain
from atheria_server.engine.plain_tensors import as_outputs
from atheria_server.models.contract import Batch, Scalar, WarmupCall
from atheria_server.models.registry import load_served
from atheria_server.models.served import SourceError


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A LitAPI after its setup."""

    api: Any
    device: str
    plain: PlainModel | None = None
    """Its hooks, if it is not described."""

    @property
    def described(self) -> bool:
        """Whether it says what calls it takes."""
        return self.plain is None

    def run(self, calls: Sequence[WarmupCall]) -> list[dict[str, Any]]:
        """The outputs of each call, alone. Raises InvalidRequestError and FailedError, and what a plain LitAPI raises."""
        return [self.compute(call) for call in calls]

    def compute(self, call: WarmupCall, copies: int = 1) -> dict[str, Any]:
        """The outputs of one call: name -> array. `copies` of a plain LitAPI's call are computed together."""
        if self.plain is None:
            return {name: np.array(v) for name, v in compute_described(self.api, self.batch(call)).items()}
        requests = [
            PlainRequest(parameters=call.parameters, tensors={k: np.array(v) for k, v in call.inputs.items()})
            for _ in range(copies)
        ]
        result = compute_plain(self.plain, requests)[0]
        if isinstance(result, Exception):
            raise result
        return {name: np.array(value) for name, value in as_outputs(result).items()}

    def batch(self, call: WarmupCall) -> Batch:
        """The batch that a described model's call makes alone. Raises InvalidRequestError."""
        valid = self.api.validate(call.inputs, call.parameters, streaming=False)
        inputs = {name: np.asarray(value) for name, value in valid.inputs.items()}
        return Batch(inputs=inputs, parameters=valid.parameters, rows=valid.rows)


def load_model(
    source: str,
    parameters: Mapping[str, Scalar],
    *,
    digest: str = "",
    device: str = "cpu",
    cache_directory: str = "",
) -> LoadedModel:
    """Import, build and set up a described model. Raises SourceError, and what the model's own code raises."""
    served = load_served(source, parameters, digest, cache_directory=cache_directory)
    if not served.described:
        raise SourceError(
            f"{source} declares no tensors, so there is nothing to call it with; "
            "give its LitAPI the methods of DescribedModel"
        )
    served.main.device = device
    served.main.setup(device)
    return LoadedModel(api=served.main, device=device)
