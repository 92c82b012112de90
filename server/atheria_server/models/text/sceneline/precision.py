"""How the network is divided for `optimize.precision`; what the runtime `text` answers for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

MODULE_GROUPS: Final[Mapping[str, Sequence[str]]] = {
    "encoder": ("*.patches",),
    "backbone": ("*.blocks.*",),
    "head": ("*.out", "*.ground_*"),
}
"""See `Optimizable.module_groups`."""
CRITICAL_LAYERS: Final = ("*.patches", "*.out", "*.ground_*")
"""See `Optimizable.critical_layers`. They are 5 % of the weights; the norms, the last of them too, stay in any case."""
