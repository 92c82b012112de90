"""The worker's half of the model: from checked arrays to outputs. Imported by `api` only where torch may be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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

    With `last_state` the output `state` has no rows before the last step. `advance` takes several steps at once, where no row has noise.
    """
    steps = int(batch.parameters[sig.PARAMETER_STEPS])
    start_step = int(batch.parameters.get(sig.PARAMETER_START_STEP, 0))
    with_picture = bool(batch.parameters.get(sig.PARAMETER_PICTURE))
    only_last_state = bool(batch.parameters.get(sig.PARAMETER_LAST_STATE))
    seeds = batch.inputs[sig.INPUT_SEED].tolist()
    sigmas = batch.inputs[sig.PARAMETER_NOISE].tolist()
    # Contiguous, and of the mode of all later states: a compiled `advance` would have to compile anew for any other.
    with torch.inference_mode():
        state = _start(law, batch).to(device).contiguous()
    if any(sigmas):
        advance = None
    walk = trajectory(state, law, steps, seeds=seeds, sigmas=sigmas, start_step=start_step)
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
            outputs = _outputs(state, with_picture=with_picture)
            if only_last_state and step < steps:
                outputs[sig.OUTPUT_STATE] = outputs[sig.OUTPUT_STATE][:0]
        yield Frame(outputs=outputs, parameters={sig.PARAMETER_STEP: start_step + step})


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


def _outputs(state: Tensor, *, with_picture: bool) -> dict[str, npt.NDArray[Any]]:
    rho, angle = density(state), observables.phase(state)
    outputs: dict[str, npt.NDArray[Any]] = {
        sig.OUTPUT_STATE: state.cpu().numpy(),
        sig.OUTPUT_DENSITY: rho.cpu().numpy(),
        sig.OUTPUT_PHASE: angle.cpu().numpy(),
        sig.OUTPUT_METRICS: observables.metrics(state).float().numpy(),
    }
    if with_picture:
        outputs[sig.OUTPUT_PICTURE] = observables.picture(rho, angle).cpu().numpy()
    return outputs
