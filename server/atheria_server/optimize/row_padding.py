"""Fills a batch up to the next of the compiled batch sizes, and cuts the outputs again. Called by `engine.worker`.

Rows are independent by the contract of `predict`, so what fills a batch changes nothing but the time it takes: the last
row, once more, as its values are known to be valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from atheria_server.core.row_buckets import bucket_of
from atheria_server.models.contract import Array, Arrays, Batch

T = TypeVar("T")


def padded(batch: Batch, buckets: Sequence[int]) -> Batch:
    """The batch with as many rows as the next of the ascending `buckets`; the batch itself where it has them already."""
    rows = bucket_of(batch.rows, buckets)
    if rows == batch.rows:
        return batch
    inputs = {name: _filled(np.asarray(array), rows) for name, array in batch.inputs.items()}
    return Batch(inputs=inputs, parameters=batch.parameters, rows=rows)


def filled(requests: Sequence[T], buckets: Sequence[int]) -> list[T]:
    """The same for the requests of a plain LitAPI, of which each is a row: the last one, again."""
    return [*requests, *[requests[-1]] * (bucket_of(len(requests), buckets) - len(requests))]


def cut(outputs: Arrays, rows: int) -> dict[str, Array]:
    """The first `rows` of each output."""
    return {name: array[:rows] for name, array in outputs.items()}


def _filled(array: Array, rows: int) -> Array:
    full = np.empty((rows, *array.shape[1:]), array.dtype)
    full[: len(array)] = array
    full[len(array) :] = array[-1:]
    return full
