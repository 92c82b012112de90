"""What a person may ask of attention. Pure; no torch.

Read by the settings of a text model and by `evaluate`; `models.text.attention` has the rule and the kernels.
"""

from __future__ import annotations

from typing import Final

AUTOMATIC: Final = "automatic"
"""By length and device."""
STANDARD: Final = "standard"
"""All scores in memory."""
FLASH: Final = "flash"
"""Scores in tiles, at any length; on CUDA, where flash takes no mask, rows of different lengths by the kernel that does."""
CHOICES: Final = (AUTOMATIC, STANDARD, FLASH)
"""The default first."""
