"""Sequences of different lengths in one batch: each is padded to the next of a few lengths, its answer cut again.

Pure functions over numpy, used by `engine.calls`. A model asks for it by `ValidCall.padding`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[Any]]


class PaddingError(ValueError):
    """The call cannot be padded; the message names the input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthPadding:
    """How a model's sequences are padded. The model must give the same result for a row however far it is padded."""

    lengths: tuple[int, ...]
    """The lengths that are computed, ascending; few, so that many calls share one."""
    inputs: Mapping[str, int]
    """Axis of the sequence in each padded input, >= 1; they have equal lengths in one call."""
    outputs: Mapping[str, int] = field(default_factory=dict)
    """Axis of the sequence in each output that is cut to the call's own length."""
    values: Mapping[str, float] = field(default_factory=dict)
    """What an input is filled with; 0 where nothing is said."""


def pad(padding: LengthPadding, arrays: Arrays) -> tuple[dict[str, npt.NDArray[Any]], int, int]:
    """The inputs at the next length, the call's own length, and that next length. Raises PaddingError."""
    lengths = {
        name: arrays[name].shape[axis] if axis < arrays[name].ndim else 0
        for name, axis in padding.inputs.items()
        if name in arrays
    }
    if len(set(lengths.values())) != 1:
        raise PaddingError(f"the inputs' lengths are {lengths}; expected equal ones")
    own = next(iter(lengths.values()))
    place = bisect_left(padding.lengths, own)
    if place == len(padding.lengths):
        name = next(iter(lengths))
        raise PaddingError(f"input {name!r} has length {own}; at most {padding.lengths[-1]} is allowed")
    padded = padding.lengths[place]
    return {name: _pad(array, padding, name, padded) for name, array in arrays.items()}, own, padded


def cut(padding: LengthPadding, outputs: Arrays, own: int) -> dict[str, npt.NDArray[Any]]:
    """The outputs as if nothing had been padded. Raises PaddingError for one that has no such axis."""
    for name, axis in padding.outputs.items():
        if name in outputs and outputs[name].ndim <= axis:
            raise PaddingError(
                f"output {name!r} has shape {list(outputs[name].shape)}; its sequence is said to be on axis {axis}"
            )
    return {
        name: array[(slice(None),) * padding.outputs[name] + (slice(0, own),)]
        if name in padding.outputs
        else array
        for name, array in outputs.items()
    }


def _pad(array: npt.NDArray[Any], padding: LengthPadding, name: str, length: int) -> npt.NDArray[Any]:
    axis = padding.inputs.get(name)
    if axis is None or array.shape[axis] == length:
        return array
    widths = [(0, length - array.shape[axis] if index == axis else 0) for index in range(array.ndim)]
    return np.pad(array, widths, constant_values=padding.values.get(name, 0))
