"""A batch that the device cannot hold is computed in halves: nothing is dropped, and the size that fitted is learned.

Used by `engine.worker` around a described model's `predict`, whose rows do not depend on each other.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

import numpy as np

from atheria_server.models.contract import Array, Arrays, Batch


def compute_in_parts(
    compute: Callable[[Batch], dict[str, Array]], batch: Batch
) -> tuple[dict[str, Array], int | None]:
    """The batch's outputs, and the most rows that fitted, or None when all did. Raises what `compute` raises, and its
    out-of-memory error when even one row does not fit."""
    try:
        return compute(batch), None
    except Exception as error:
        if batch.rows < 2 or not is_out_of_memory(error):
            raise
    # Outside of the handler: the exception held on to what the failed attempt had allocated.
    _release()
    half = (batch.rows + 1) // 2
    first, first_fits = compute_in_parts(compute, _rows(batch, 0, half))
    second, second_fits = compute_in_parts(compute, _rows(batch, half, batch.rows))
    outputs = {name: np.concatenate([first[name], second[name]]) for name in first}
    return outputs, min(half if fits is None else fits for fits in (first_fits, second_fits))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory was short: Python's, numpy's, PyTorch's on CPU and CUDA."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and (
        "out of memory" in str(error) or "can't allocate memory" in str(error)
    )


def _rows(batch: Batch, start: int, end: int) -> Batch:
    inputs: Arrays = {name: array[start:end] for name, array in batch.inputs.items()}
    return Batch(inputs=inputs, parameters=batch.parameters, rows=end - start)


def _release() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
