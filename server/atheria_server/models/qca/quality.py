"""How far a variant's walks are from the baseline's: fidelity, and statistics of the ensemble, after 1, 8, 16 and 32 steps.

Fidelity says something while the dynamics has not yet spread a small error over everything (up to about 32 steps); the
statistics, means over the ensemble, stay meaningful when single states have gone their own ways. Called by `QcaApi`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from atheria_server.core.quality import Measurement, QualityError, relative_error
from atheria_server.models.contract import Arrays, InvalidRequestError, WarmupCall
from atheria_server.models.qca import signature as sig

STEPS: Final = (1, 8, 16, 32)
"""Steps after which states are compared."""
SIDE: Final = 32
"""Side of the grid where no shapes are given, in cells."""
FLOORS: Final[Mapping[str, float]] = {"S": 0.1, "C4": 0.01, "C1": 0.01, "G": 0.05, "L": 0.05}
"""Statistic -> baseline mean below which its error is taken relative to this instead."""
LOW_WAVE_NUMBER: Final = 1 / 8
"""Cycles per cell below which a ripple of the density counts as long."""
_COLUMNS: Final[Mapping[str, str]] = {"S": "entropy", "C4": "c4", "C1": "contrast", "G": "coherence"}

Float64Array = npt.NDArray[np.float64]


def golden_calls(channels: int, shapes: Sequence[tuple[int, ...]], count: int) -> Sequence[WarmupCall]:
    """One call of `count` vacuum ripples (seeds 0, 1 ...) for each shape (2d, H, W) and each of STEPS; default 32 x 32.

    Raises InvalidRequestError for a shape that does not fit the law.
    """
    calls = []
    for shape in dict.fromkeys(tuple(shape) for shape in shapes) or [(2 * channels, SIDE, SIDE)]:
        if len(shape) != 3 or shape[0] != 2 * channels:
            raise InvalidRequestError(f"golden shape is {list(shape)}; expected [{2 * channels}, H, W]")
        calls += [
            WarmupCall(
                inputs={sig.INPUT_SEED: np.arange(count, dtype=np.int64)},
                parameters={
                    sig.PARAMETER_HEIGHT: shape[1],
                    sig.PARAMETER_WIDTH: shape[2],
                    sig.PARAMETER_STEPS: steps,
                    sig.PARAMETER_INITIAL: sig.INITIAL_VACUUM_RIPPLE,
                },
            )
            for steps in STEPS
        ]
    return calls


def compare(baseline: Sequence[Arrays], variant: Sequence[Arrays]) -> Sequence[Measurement]:
    """F_T, S_T, C4_T, C1_T, G_T and L_T for each T of STEPS, over the rows of all shapes, from the outputs `state`.

    The outputs are those of `golden_calls` in order, each call in one or several parts. F is the mean fidelity; the others are
    relative errors of a statistic's mean, with the standard error over the seeds. Raises QualityError.
    """
    from atheria_server.models.qca.reference import fidelity

    before, after = _states_by_steps(baseline), _states_by_steps(variant)
    found: list[Measurement] = []
    for steps, wanted, got in zip(STEPS, before, after, strict=True):
        if [part.shape for part in wanted] != [part.shape for part in got]:
            raise QualityError(
                f"after {steps} steps the baseline has states of shapes {[list(part.shape) for part in wanted]} and the "
                f"variant {[list(part.shape) for part in got]}; run both on the same golden calls"
            )
        agreements = np.concatenate([fidelity(b, v) for b, v in zip(wanted, got, strict=True)])
        found.append(
            Measurement(
                name=f"F_{steps}",
                value=float(agreements.mean()),
                better="higher",
                standard_error=_standard_error(agreements),
            )
        )
        of_baseline, of_variant = _statistics(wanted), _statistics(got)
        found += [
            relative_error(
                f"{name}_{steps}", of_baseline[name].tolist(), of_variant[name].tolist(), floor=floor
            )
            for name, floor in FLOORS.items()
        ]
    return found


def low_wave_number_share(density: Float64Array) -> Float64Array:
    """L of each row: the power of the density's ripple with |k| < 1/8 cycle per cell over all of it; [B, H, W] -> [B].

    A uniform density has no ripple and 0.
    """
    ripple = density - density.mean((1, 2), keepdims=True)
    power = np.abs(np.fft.fft2(ripple)) ** 2
    wave_y, wave_x = np.fft.fftfreq(density.shape[1])[:, None], np.fft.fftfreq(density.shape[2])[None, :]
    long = (power * (np.hypot(wave_x, wave_y) < LOW_WAVE_NUMBER)).sum((1, 2))
    total = power.sum((1, 2))
    share: Float64Array = np.divide(long, total, out=np.zeros_like(long), where=total > 0)
    return share


def _statistics(states: Sequence[npt.NDArray[Any]]) -> Mapping[str, Float64Array]:
    """Statistic -> one number a row."""
    import torch

    from atheria_server.models.qca.observables import metrics

    columns = np.concatenate(
        [metrics(torch.from_numpy(np.ascontiguousarray(part))).numpy() for part in states]
    )
    found = {name: columns[:, sig.METRICS.index(column)] for name, column in _COLUMNS.items()}
    densities = [np.sum(part.astype(np.float64) ** 2, 1) for part in states]
    found["L"] = np.concatenate([low_wave_number_share(density) for density in densities])
    return found


def _states_by_steps(outputs: Sequence[Arrays]) -> Sequence[Sequence[npt.NDArray[Any]]]:
    """For each of STEPS, one array [rows, 2d, H, W] of each shape: a shape's calls come step by step, equally many rows."""
    by_shape: dict[tuple[int, ...], list[npt.NDArray[Any]]] = {}
    for arrays in outputs:
        state = np.asarray(arrays[sig.OUTPUT_STATE])
        by_shape.setdefault(state.shape[1:], []).append(state)
    whole = [np.concatenate(parts) for parts in by_shape.values()]
    for states in whole:
        if len(states) % len(STEPS):
            raise QualityError(
                f"{len(states)} golden states of shape {list(states.shape[1:])} are not equally many after each of "
                f"{', '.join(map(str, STEPS))} steps; pass the outputs of all golden calls"
            )
    return list(zip(*(np.split(states, len(STEPS)) for states in whole), strict=True))


def _standard_error(values: Float64Array) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
