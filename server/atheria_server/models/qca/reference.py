"""The yardstick: the same dynamics in float64 on numpy arrays, and the fidelity between two states.

For clients and tests that check a server's answers; never used while serving.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from atheria_server.models.qca import evolution
from atheria_server.models.qca.laws import Law

FloatArray = npt.NDArray[np.floating[Any]]
Float64Array = npt.NDArray[np.float64]


def evolve(
    state: FloatArray, law: Law, steps: int, *, seeds: Sequence[int] | None = None, noise: float = 0.0
) -> Float64Array:
    """The state [B, 2d, H, W] after `steps` steps, all in float64.

    `noise` in radians with `seeds`, one a row (0 if absent), is the same trajectory that the server follows.
    """
    rows = state.shape[0]
    with torch.inference_mode():
        result = evolution.evolve(
            torch.from_numpy(state.astype(np.float64)),
            copy.deepcopy(law).double(),
            steps,
            seeds=list(seeds) if seeds is not None else [0] * rows,
            sigmas=[noise] * rows,
        )
    exact: Float64Array = result.numpy()
    return exact


def fidelity(a: FloatArray, b: FloatArray) -> Float64Array:
    """|<a|b>|^2 / (<a|a> <b|b>) of each row of two [B, 2d, H, W] states, by float64 sums: [B], 1 for equal rays."""
    if a.shape != b.shape:
        raise ValueError(
            f"states of shapes {list(a.shape)} and {list(b.shape)} have no fidelity; expected equal shapes"
        )
    psi, phi = _complex(a), _complex(b)
    overlap = np.abs(np.sum(psi.conj() * phi, axis=(1, 2, 3))) ** 2
    norms = np.sum(np.abs(psi) ** 2, axis=(1, 2, 3)) * np.sum(np.abs(phi) ** 2, axis=(1, 2, 3))
    result: Float64Array = overlap / norms
    return result


def _complex(state: FloatArray) -> npt.NDArray[np.complex128]:
    channels = state.shape[1] // 2
    psi: npt.NDArray[np.complex128] = state[:, :channels].astype(np.float64) + 1j * state[
        :, channels:
    ].astype(np.float64)
    return psi
