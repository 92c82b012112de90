"""The work that every measured server does: one 512 x 512 matrix product on a 1 x 4 x 64 x 64 tensor (64 KiB).

Needs numpy and nothing else, because it is imported in the environments of all peers. The work is small on purpose:
what differs between the servers is what they spend beside it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

NAME: Final = "m"
INPUT: Final = "x"
OUTPUT: Final = "y"
ROW_SHAPE: Final = (4, 64, 64)
CALL_SHAPE: Final = (1, *ROW_SHAPE)
CALL_BYTES: Final = 4 * 64 * 64 * 4
MAX_BATCH: Final = 8
WINDOW_SECONDS: Final = 0.05
_SIDE: Final = 512

Array = npt.NDArray[Any]


class Model:
    """A fixed matrix and the product with it."""

    def __init__(self) -> None:
        self._weights = np.random.default_rng(0).standard_normal((_SIDE, _SIDE), np.float32) / np.float32(
            _SIDE**0.5
        )

    def __call__(self, rows: Array) -> Array:
        """FP32 [n, 4, 64, 64] -> the same shape, row i from row i only."""
        products: Array = (rows.reshape(-1, _SIDE) @ self._weights).reshape(rows.shape)
        return products


def example(index: int) -> Array:
    """The input of caller number `index`, FP32 [1, 4, 64, 64]: every caller has its own, so mixed-up rows are seen."""
    return np.random.default_rng(1000 + index).standard_normal(CALL_SHAPE, np.float32)
