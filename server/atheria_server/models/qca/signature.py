"""Names, limits and layouts of the qca model's tensors, in one place for validation, the API and the metadata.

A state is `[B, 2d, H, W]`: for each row the d real parts and then the d imaginary parts of d complex channels on an
H x W torus. Imported by the front process: no torch here.
"""

from __future__ import annotations

from typing import Final

INPUT_STATE: Final = "state"
"""FP32 [B, 2d, H, W], used as given: the norm is kept, not changed."""
INPUT_SEED: Final = "seed"
"""INT64 [B]: makes the initial state where `state` is absent, and the noise in every case (0 if absent)."""

OUTPUT_STATE: Final = "state"
"""FP32 [B, 2d, H, W]."""
OUTPUT_DENSITY: Final = "density"
"""FP32 [B, H, W]: the sum over channels of |psi_c|^2; its mean is 1 for the built-in initial states."""
OUTPUT_PHASE: Final = "phase"
"""FP32 [B, H, W] in radians, from -pi to pi: the argument of the sum over channels of psi_c."""
OUTPUT_METRICS: Final = "metrics"
"""FP32 [B, 5], columns METRICS."""
OUTPUTS: Final = (OUTPUT_STATE, OUTPUT_DENSITY, OUTPUT_PHASE, OUTPUT_METRICS)
OUTPUT_VOLUME: Final = "volume"
"""FP32 [B, D, H, W], only for requests with `depth` = D (see `decoding`)."""
OUTPUT_PICTURE: Final = "picture"
"""UINT8 [B, 2, H, W], only for requests with `picture`: density and phase as a canvas wants them (see `observables`)."""

METRICS: Final = ("entropy", "c4", "contrast", "coherence", "norm")

PARAMETER_STEPS: Final = "steps"
PARAMETER_NOISE: Final = "noise"
PARAMETER_EVERY: Final = "every"
PARAMETER_HEIGHT: Final = "height"
PARAMETER_WIDTH: Final = "width"
PARAMETER_INITIAL: Final = "initial"
PARAMETER_DEPTH: Final = "depth"
"""Planes of the output `volume`; without it there is none."""
PARAMETER_PICTURE: Final = "picture"
"""Whether there is an output `picture`."""
PARAMETER_LAST_STATE: Final = "last_state"
"""Whether the output `state` has its rows only with the last frame, and none with the others."""
PARAMETER_START_STEP: Final = "start_step"
"""Steps that the input has behind it: noise goes on from there, and `step` of the answers counts from there."""
PARAMETERS: Final = (
    PARAMETER_STEPS,
    PARAMETER_NOISE,
    PARAMETER_EVERY,
    PARAMETER_HEIGHT,
    PARAMETER_WIDTH,
    PARAMETER_INITIAL,
    PARAMETER_DEPTH,
    PARAMETER_PICTURE,
    PARAMETER_LAST_STATE,
    PARAMETER_START_STEP,
)
PARAMETER_STEP: Final = "step"
"""On each streamed answer: `start_step` and how many steps its outputs are away from the input."""

STEPS_DEFAULT: Final = 8
STEPS_MAX: Final = 64
"""Of one request; a longer walk goes on from the last state with `start_step`."""
START_STEP_MAX: Final = (1 << 31) - 1
STEPS_PER_GRAPH: Final = (4, 1)
"""Of a compiled law, descending. Four steps in a graph save calls, which are a third of a small request's time; eight save
little more, and take much longer to compile."""
NOISE_MAX: Final = 10.0
"""Radians; the coherence factor exp(-noise^2) is 0 to float64 long before."""
DEPTH_MAX: Final = 128
VOXELS_MAX: Final = 1 << 23
"""Of all rows of a request together: 32 MiB."""
SIDE_DEFAULT: Final = 64
SIDE_MULTIPLE: Final = 8
SIDE_MIN: Final = 8
SIDE_MAX: Final = 512
COMPONENT_MAX: Final = 1e6
"""Largest |value| of an input state: beyond it densities leave the range in which float32 laws stay finite."""

INITIAL_VACUUM_RIPPLE: Final = "vacuum_ripple"
INITIAL_NOISE: Final = "noise"
INITIAL_PACKET: Final = "packet"
INITIALS: Final = (INITIAL_VACUUM_RIPPLE, INITIAL_NOISE, INITIAL_PACKET)
