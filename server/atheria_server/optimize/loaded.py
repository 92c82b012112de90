"""A described model in this process, called as the server calls it: for the pipeline and for the commands.

Nothing is queued, batched or sent: a call is validated and computed, and its outputs are copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from atheria_server.engine.hooks import compute_described
from atheria_server.models.contract import Arrays, Batch, Scalar, WarmupCall
from atheria_server.models.registry import load_served
from atheria_server.models.served import SourceError


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A described LitAPI after its setup."""

    api: Any
    device: str

    def run(self, calls: Sequence[WarmupCall]) -> list[dict[str, Any]]:
        """The outputs of each call, alone. Raises InvalidRequestError and FailedError."""
        return [self.compute(call) for call in calls]

    def compute(self, call: WarmupCall) -> dict[str, Any]:
        """The outputs of one call: name -> array, first dimension = rows of the call."""
        return {
            name: np.array(value) for name, value in compute_described(self.api, self.batch(call)).items()
        }

    def batch(self, call: WarmupCall) -> Batch:
        """The batch that the call alone makes. Raises InvalidRequestError."""
        valid = self.api.validate(call.inputs, call.parameters, streaming=False)
        return Batch(inputs=_arrays(valid.inputs), parameters=valid.parameters, rows=valid.rows)


def load_model(
    source: str, parameters: Mapping[str, Scalar], *, digest: str = "", device: str = "cpu"
) -> LoadedModel:
    """Import, build and set up. Raises SourceError, and what the model's own code raises."""
    served = load_served(source, parameters, digest)
    if not served.described:
        raise SourceError(
            f"{source} declares no tensors, so there is nothing to call it with; "
            "give its LitAPI the methods of DescribedModel"
        )
    served.main.device = device
    served.main.setup(device)
    return LoadedModel(api=served.main, device=device)


def _arrays(inputs: Arrays) -> dict[str, Any]:
    return {name: np.asarray(value) for name, value in inputs.items()}
