"""Names and layouts of sceneline's tensors, in one place for validation, the API and the metadata. No torch.

A call is one picture and one text, which may begin with words that the caller gives.
"""

from __future__ import annotations

from typing import Final

INPUT_PICTURE: Final = "image"
"""UINT8 [1, height, width, 3], RGB."""
INPUT_DENSITY: Final = "density"
"""FP32 [1, height, width], in place of the picture: of a qca state, as `sceneline.density` shows it."""

OUTPUT_TOKENS: Final = "tokens"
"""INT64 [1, generated]: as of every model of the runtime `text`."""
OUTPUT_BOXES: Final = "boxes"
"""INT32 [1, BOXES_MAX, 4]: left, top, right, bottom in pixels; zeros behind those that there are."""
OUTPUT_BOX_SCORES: Final = "box_score"
"""FP32 [1, BOXES_MAX]: mean cosine, 0 behind those that there are."""
OUTPUT_BOX_TOKENS: Final = "box_token"
"""INT32 [1, BOXES_MAX]: index of the word in the whole text, of which `<bos>` is 0; NO_TOKEN behind those that there are."""
OUTPUT_GROUNDING: Final = "grounding"
"""BYTES [1]: the boxes as JSON, with the words."""
OUTPUT_PICTURE: Final = "picture"
"""BYTES [1]: PNG, enlarged, with the boxes drawn; only where PARAMETER_DRAW asks for it."""

PARAMETER_DRAW: Final = "draw"

BOXES_MAX: Final = 32
"""Boxes of a text; of more, those with the lowest scores are left out."""
NO_TOKEN: Final = -1
