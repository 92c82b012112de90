"""What a person may set on sceneline: `spec.model.parameters` of an AtheriaModel, `--set` on the command line.

No torch: parsed by the front process at start and again in the worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

Scalar = str | int | float | bool
Preset = Literal["small", "large"]

PRESETS: Final[tuple[Preset, ...]] = get_args(Preset)
PATCH: Final = 8
"""Pixels along each side of a patch, which becomes one position of the sequence."""


class SceneLineSettingsError(ValueError):
    """The model's parameters cannot be used; the message names the parameter, its value and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneLineSizes:
    """Of one network."""

    width: int = 128
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    """Each serves `heads / kv_heads` heads (grouped-query attention)."""
    context_length: int = 512
    """Patches and words together."""
    side_patches: int = 32
    """Most patches along one side of a picture that have a place of their own."""
    grounding_width: int = 64
    """Of the space in which words and patches are compared."""

    @property
    def head_size(self) -> int:
        """Of queries, keys and values."""
        return self.width // self.heads


SIZES: Final[Mapping[Preset, SceneLineSizes]] = {
    "small": SceneLineSizes(),
    "large": SceneLineSizes(
        width=1024, layers=24, heads=16, kv_heads=4, context_length=8192, grounding_width=256
    ),
}
"""`small`: 842 thousand weights, trained. `large`: 274 million weights, drawn from a seed, for memory and speed only."""
