"""The worker's half of the model: from checked arrays to outputs. Imported by `api` only where torch may be."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from atheria_server.models.contract import Batch, Frame
from atheria_server.models.qca import observables
from atheria_server.models.qca import signature as sig
from atheria_server.models.qca.evolution import trajectory
from atheria_server.models.qca.fused import Advance
from atheria_server.models.qca.initial import initial_state
from atheria_server.models.qca.laws import Law
from atheria_server.models.qca.step import density


def frames(
    law: Law, device: str, batch: Batch, every: int, advance: Advance | None = None
) -> Iterator[Frame]:
    """The outputs of a checked batch after every `every` steps, and after the last step.

    `advance` takes several steps at once, where no row has noise.
    """
    steps = int(batch.parameters[sig.PARAMETER_STEPS])
    seeds = batch.inputs[sig.INPUT_SEED].tolist()
    sigmas = batch.inputs[sig.PARAMETER_NOISE].tolist()
    # Contiguous, and of the mode of all later states: a compiled `advance` would have to compile anew for any other.
    with torch.inference_mode():
        state = _start(law, batch).to(device).contiguous()
    if any(sigmas):
        advance = None
    walk = trajectory(state, law, steps, seeds=seeds, sigmas=sigmas)
    step = 0
    while step < steps:
        # The mode is entered anew for each frame: a generator must not leave it on between two.
        with torch.inference_mode():
            count = min(every, steps - step)
            if advance is not None:
                state = advance(state, count)
            else:
                for _ in range(count):
                    state = next(walk)
            step += count
            outputs = _outputs(state)
        yield Frame(outputs=outputs, parameters={sig.PARAMETER_STEP: step})


def _start(law: Law, batch: Batch) -> Tensor:
    given = batch.inputs.get(sig.INPUT_STATE)
    if given is not None:
        return torch.from_numpy(np.array(given))
    parameters = batch.parameters
    return initial_state(
        str(parameters[sig.PARAMETER_INITIAL]),
        batch.inputs[sig.INPUT_SEED].tolist(),
        law.channels,
        int(parameters[sig.PARAMETER_HEIGHT]),
        int(parameters[sig.PARAMETER_WIDTH]),
    )


def _outputs(state: Tensor) -> dict[str, npt.NDArray[np.float32]]:
    return {
        sig.OUTPUT_STATE: state.cpu().numpy(),
        sig.OUTPUT_DENSITY: density(state).cpu().numpy(),
        sig.OUTPUT_PHASE: observables.phase(state).cpu().numpy(),
        sig.OUTPUT_METRICS: observables.metrics(state).float().numpy(),
    }
