"""Is this request one that the qca model can compute? Decided in the front process, before the queue, without torch.

`parse_request` turns raw tensors and parameters into a `QcaRequest`; its `key` says which requests may share a batch.
Nothing that gets past here may fail in the worker.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atheria_server.models.contract import InvalidRequestError
from atheria_server.models.qca import signature as sig

Scalar = str | int | float | bool
BatchKey = tuple[int, int, int, int, int, bool, bool, int]


class InvalidQcaRequestError(InvalidRequestError):
    """The request is wrong; the message names the tensor or parameter, its value and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QcaRequest:
    """A request that can be computed: B rows of one size, all evolved by the same number of steps."""

    seeds: tuple[int, ...]
    """One a row: of the initial state where `state` is None, and of the noise."""
    state: npt.NDArray[np.float32] | None
    """[B, 2d, H, W], or None = made from the seeds."""
    height: int
    width: int
    initial: str
    steps: int
    every: int
    """Steps between two streamed answers; equal to `steps` where the request does not stream."""
    noise: float
    """Standard deviation in radians of each cell's phase kick after each step."""
    depth: int
    """Planes of the output `volume`; 0 = it is not wanted."""
    picture: bool
    """Whether the output `picture` is wanted."""
    last_state: bool
    """Whether only the last frame has the output `state`."""
    start_step: int
    """Steps that the input has behind it."""

    @property
    def rows(self) -> int:
        """B."""
        return len(self.seeds)

    @property
    def key(self) -> BatchKey:
        """Equal for requests that may be computed together: all but rows, noise and `initial`."""
        return (
            self.steps,
            self.every,
            self.height,
            self.width,
            self.depth,
            self.picture,
            self.last_state,
            self.start_step,
        )


def parse_request(
    tensors: Mapping[str, npt.NDArray[Any]], parameters: Mapping[str, Scalar], channels: int
) -> QcaRequest:
    """The request in `tensors` and `parameters` for a law of d = `channels`. Raises InvalidQcaRequestError."""
    if unknown := sorted(set(tensors) - {sig.INPUT_STATE, sig.INPUT_SEED}):
        raise InvalidQcaRequestError(
            f"unknown input {unknown[0]!r}; allowed: {sig.INPUT_STATE}, {sig.INPUT_SEED}"
        )
    if unknown := sorted(set(parameters) - set(sig.PARAMETERS)):
        raise InvalidQcaRequestError(
            f"unknown parameter {unknown[0]!r}; allowed: {', '.join(sig.PARAMETERS)}"
        )
    state = tensors.get(sig.INPUT_STATE)
    seeds = tensors.get(sig.INPUT_SEED)
    if state is not None:
        _check_state(state, channels)
        _check_sides_match(parameters, state.shape[2], state.shape[3])
        height, width = int(state.shape[2]), int(state.shape[3])
        if sig.PARAMETER_INITIAL in parameters:
            raise InvalidQcaRequestError(
                "parameter initial has no use beside input state; remove one of them"
            )
    elif seeds is not None:
        height = _side(sig.PARAMETER_HEIGHT, parameters.get(sig.PARAMETER_HEIGHT, sig.SIDE_DEFAULT))
        width = _side(sig.PARAMETER_WIDTH, parameters.get(sig.PARAMETER_WIDTH, sig.SIDE_DEFAULT))
    else:
        raise InvalidQcaRequestError("no input; send state FP32 [B, 2d, H, W] or seed INT64 [B]")
    if sig.PARAMETER_DEPTH in parameters and _flag(sig.PARAMETER_LAST_STATE, parameters):
        raise InvalidQcaRequestError(
            "parameter last_state leaves out the states that the volumes of parameter depth are made of; remove one of them"
        )
    steps = _whole(sig.PARAMETER_STEPS, parameters.get(sig.PARAMETER_STEPS, sig.STEPS_DEFAULT), sig.STEPS_MAX)
    found_seeds = _seeds(seeds, len(state)) if state is not None else _seeds(seeds, None)
    return QcaRequest(
        seeds=found_seeds,
        state=state,
        height=height,
        width=width,
        initial=_initial(parameters.get(sig.PARAMETER_INITIAL, sig.INITIAL_VACUUM_RIPPLE)),
        steps=steps,
        every=_whole(sig.PARAMETER_EVERY, parameters.get(sig.PARAMETER_EVERY, steps), steps),
        noise=_noise(parameters.get(sig.PARAMETER_NOISE, 0.0)),
        depth=_depth(parameters, len(found_seeds) * height * width),
        picture=_flag(sig.PARAMETER_PICTURE, parameters),
        last_state=_flag(sig.PARAMETER_LAST_STATE, parameters),
        start_step=_start_step(parameters.get(sig.PARAMETER_START_STEP, 0), has_state=state is not None),
    )


def _check_state(state: npt.NDArray[Any], channels: int) -> None:
    if state.dtype != np.float32:
        raise InvalidQcaRequestError(f"input state has dtype {state.dtype}; expected FP32")
    if state.ndim != 4 or state.shape[0] < 1 or state.shape[1] != 2 * channels:
        raise InvalidQcaRequestError(
            f"input state has shape {list(state.shape)}; expected [B, {2 * channels}, H, W], B >= 1"
        )
    _side("height of input state", int(state.shape[2]))
    _side("width of input state", int(state.shape[3]))
    if not np.isfinite(state).all():
        raise InvalidQcaRequestError("input state holds NaN or infinity; every value must be finite")
    if (largest := float(np.abs(state).max())) > sig.COMPONENT_MAX:
        raise InvalidQcaRequestError(
            f"input state holds |value| {largest:g}; allowed up to {sig.COMPONENT_MAX:g}"
        )


def _check_sides_match(parameters: Mapping[str, Scalar], height: int, width: int) -> None:
    for name, side in ((sig.PARAMETER_HEIGHT, height), (sig.PARAMETER_WIDTH, width)):
        if parameters.get(name, side) != side:
            raise InvalidQcaRequestError(
                f"parameter {name} is {parameters[name]!r}, but input state has {side}; remove it"
            )


def _seeds(seeds: npt.NDArray[Any] | None, rows: int | None) -> tuple[int, ...]:
    if seeds is None:
        return (0,) * (rows or 0)
    if seeds.dtype != np.int64:
        raise InvalidQcaRequestError(f"input seed has dtype {seeds.dtype}; expected INT64")
    if seeds.ndim != 1 or len(seeds) < 1 or (rows is not None and len(seeds) != rows):
        wanted = "[B], B >= 1" if rows is None else f"[{rows}] like the rows of state"
        raise InvalidQcaRequestError(f"input seed has shape {list(seeds.shape)}; expected {wanted}")
    return tuple(int(seed) for seed in seeds)


def _whole(name: str, value: Scalar, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high:
        raise InvalidQcaRequestError(
            f"parameter {name} is {value!r}; expected a whole number from 1 to {high}"
        )
    return value


def _depth(parameters: Mapping[str, Scalar], cells: int) -> int:
    if sig.PARAMETER_DEPTH not in parameters:
        return 0
    depth = _whole(sig.PARAMETER_DEPTH, parameters[sig.PARAMETER_DEPTH], sig.DEPTH_MAX)
    if depth * cells > sig.VOXELS_MAX:
        raise InvalidQcaRequestError(
            f"parameter depth is {depth}, which makes a volume of {depth * cells} voxels over all rows; allowed up to "
            f"{sig.VOXELS_MAX}, which is depth {sig.VOXELS_MAX // cells} here"
        )
    return depth


def _flag(name: str, parameters: Mapping[str, Scalar]) -> bool:
    value = parameters.get(name, False)
    if not isinstance(value, bool):
        raise InvalidQcaRequestError(f"parameter {name} is {value!r}; expected true or false")
    return value


def _start_step(value: Scalar, *, has_state: bool) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= sig.START_STEP_MAX:
        raise InvalidQcaRequestError(
            f"parameter {sig.PARAMETER_START_STEP} is {value!r}; expected a whole number from 0 to {sig.START_STEP_MAX}"
        )
    if value and not has_state:
        raise InvalidQcaRequestError(
            f"parameter {sig.PARAMETER_START_STEP} is {value}, but a walk from a seed begins at step 0; send the state of "
            "that step as input state, or leave the parameter out"
        )
    return value


def _side(name: str, value: Scalar) -> int:
    good = isinstance(value, int) and not isinstance(value, bool) and sig.SIDE_MIN <= value <= sig.SIDE_MAX
    if not isinstance(value, int) or not good or value % sig.SIDE_MULTIPLE:
        raise InvalidQcaRequestError(
            f"{name} is {value!r}; expected a multiple of {sig.SIDE_MULTIPLE} from {sig.SIDE_MIN} to {sig.SIDE_MAX}"
        )
    return value


def _noise(value: Scalar) -> float:
    if isinstance(value, (bool, str)) or not math.isfinite(value) or not 0 <= value <= sig.NOISE_MAX:
        raise InvalidQcaRequestError(
            f"parameter noise is {value!r}; expected radians from 0 to {sig.NOISE_MAX:g}"
        )
    return float(value)


def _initial(value: Scalar) -> str:
    if not isinstance(value, str) or value not in sig.INITIALS:
        raise InvalidQcaRequestError(f"parameter initial is {value!r}; allowed: {', '.join(sig.INITIALS)}")
    return value
