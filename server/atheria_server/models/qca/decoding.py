"""The output `volume`: a state's channels decoded into planes of depth, in chunks of voxels. Used by `api`.

Channel pairs are layers of the volume, from near to far. Every voxel is a function of its own cell only:

    n_j = |psi_2j|^2 + |psi_2j+1|^2,  c_j + i s_j = conj(psi_2j) psi_2j+1,  j = 0 .. d/2 - 1
    zeta = (z + 1/2) d / (2 D) - 1/2, kept within 0 .. d/2 - 1, for plane z of D
    f = (n, c, s interpolated linearly at zeta, cos a, sin a),  a = 2 pi (z + 1/2) / D
    volume = n * g(w2 . relu(W1 f + b1) + b2),  g(x) = (1 + x / (1 + |x|)) / 2

with 8 hidden units and weights drawn from a fixed seed: it is a fixed, cheap stage after the law, not a trained one, and
0 <= volume <= n. Sums have a fixed order and every operation is rounded correctly: a matrix product or an exponential
may round differently for other chunk sizes, and the values must not depend on them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from atheria_server.models.contract import Frame
from atheria_server.models.qca import signature as sig

HIDDEN: Final = 8
FEATURES: Final = 5
WEIGHTS_SEED: Final = 20261
CHUNK_SIZES: Final = (4096, 16384, 65536, 262144)
"""Voxels, from the smallest to the largest that is tried."""
CHUNK_BYTES_MAX: Final = 16 * 1024 * 1024
"""What the intermediate values of one chunk may take."""
VOXEL_BYTES: Final = 4 * (3 * HIDDEN + FEATURES + 4)
"""Of the intermediate values: three of the hidden layer at once, the features, and what they are made of."""
_PROBE: Final = (16, 64, 64)
"""Planes, height and width of the volume that sizes are tried on."""
_PROBE_TRIES: Final = 2


class VolumeDecoder:
    """Decodes on one device, in chunks of the size that was fastest there."""

    def __init__(self, device: str, *, chunk: int = CHUNK_SIZES[0]) -> None:
        """`chunk` voxels at once; see `tuned`."""
        generator = torch.Generator().manual_seed(WEIGHTS_SEED)
        drawn = torch.randn(HIDDEN * (FEATURES + 2) + 1, generator=generator)
        first, bias, second, last = torch.split(drawn, [HIDDEN * FEATURES, HIDDEN, HIDDEN, 1])
        self.device = device
        self.chunk = chunk
        self._first = (first / math.sqrt(FEATURES)).view(FEATURES, HIDDEN, 1, 1).to(device)
        self._bias = bias.view(HIDDEN, 1, 1).to(device)
        self._second = (second / math.sqrt(HIDDEN)).tolist()
        self._last = last.item()

    @classmethod
    def tuned(
        cls, device: str, channels: int, clock: Callable[[], float] = time.perf_counter
    ) -> VolumeDecoder:
        """With the chunk size that decodes a probe fastest within CHUNK_BYTES_MAX; measured once, some 20 ms."""
        decoder = cls(device)
        depth, height, width = _PROBE
        probe = torch.ones(1, 2 * channels, height, width, device=device)

        def seconds(size: int) -> float:
            decoder.chunk = size
            began = clock()
            decoder.decode(probe, depth)
            if device.startswith("cuda"):
                torch.cuda.synchronize(device)
            return clock() - began

        seconds(CHUNK_SIZES[0])
        decoder.chunk = fastest_chunk(lambda size: min(seconds(size) for _ in range(_PROBE_TRIES)))
        return decoder

    def decode(self, state: Tensor, depth: int) -> Tensor:
        """Volume [B, D, H, W] of a state [B, 2d, H, W], D = `depth`."""
        with torch.inference_mode():
            rows, twice, height, width = state.shape
            cells = height * width
            profiles = [part.flatten(2) for part in _profiles(state)]
            planes = _planes(depth, twice // 4, state.device)
            volume = torch.empty(rows, depth, cells, dtype=state.dtype, device=state.device)
            # A chunk is several whole planes, or a part of one.
            many = max(1, self.chunk // cells)
            for row in range(rows):
                for first in range(0, depth, many):
                    near, far, share, cosine, sine = (part[first : first + many] for part in planes)
                    for start in range(0, cells, self.chunk):
                        part = slice(start, start + self.chunk)
                        features = [
                            (1 - share) * profile[row, near, part] + share * profile[row, far, part]
                            for profile in profiles
                        ]
                        gate = self._gate([*features, cosine, sine])
                        volume[row, first : first + many, part] = features[0] * gate
            return volume.view(rows, depth, height, width)

    def add_volumes(self, frames: Iterator[Frame], depth: int) -> Iterator[Frame]:
        """The frames with the output `volume`, decoded from their output `state`."""
        for frame in frames:
            state = torch.from_numpy(np.asarray(frame.outputs[sig.OUTPUT_STATE])).to(self.device)
            volume: Any = self.decode(state, depth).cpu().numpy()
            yield Frame(outputs={**frame.outputs, sig.OUTPUT_VOLUME: volume}, parameters=frame.parameters)

    def _gate(self, features: Sequence[Tensor]) -> Tensor:
        hidden = self._bias
        for weight, feature in zip(self._first, features, strict=True):
            hidden = hidden + weight * feature
        hidden = torch.relu(hidden)
        total = self._second[0] * hidden[0] + self._last
        for weight, unit in zip(self._second[1:], hidden[1:], strict=True):
            total = total + weight * unit
        gate: Tensor = (1 + total / (1 + total.abs())) / 2
        return gate


def fastest_chunk(
    seconds: Callable[[int], float],
    sizes: Sequence[int] = CHUNK_SIZES,
    *,
    bytes_max: int = CHUNK_BYTES_MAX,
) -> int:
    """The size of which `seconds` says the least; one whose chunk would exceed `bytes_max` is not tried."""
    fitting = [size for size in sizes if size * VOXEL_BYTES <= bytes_max] or [min(sizes)]
    return min(fitting, key=seconds)


def _profiles(state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """n, c and s, each [B, d/2, H, W]."""
    channels = state.shape[1] // 2
    a, b = state[:, :channels:2], state[:, 1:channels:2]
    a_im, b_im = state[:, channels::2], state[:, channels + 1 :: 2]
    return (
        a * a + a_im * a_im + (b * b + b_im * b_im),
        a * b + a_im * b_im,
        a * b_im - a_im * b,
    )


def _planes(depth: int, layers: int, device: torch.device) -> tuple[Tensor, ...]:
    """By plane: the nearer and the farther layer [D], the farther one's share, cosine and sine [D, 1]."""
    middle = torch.arange(depth, dtype=torch.float64) + 0.5
    zeta = (middle * layers / depth - 0.5).clamp(0, layers - 1)
    near = zeta.floor()
    far = (near + 1).clamp(max=layers - 1)
    angle = 2 * math.pi * middle / depth
    layer = [part.to(device=device, dtype=torch.int64) for part in (near, far)]
    shares = [
        part[:, None].to(device=device, dtype=torch.float32)
        for part in (zeta - near, torch.cos(angle), torch.sin(angle))
    ]
    return (*layer, *shares)
