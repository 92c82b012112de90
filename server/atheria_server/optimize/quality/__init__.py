"""How a cheaper variant is compared with its fp32 eager baseline, and where the verdict is kept.

`golden_calls` makes the inputs, `compare` the measurements, `core.quality_gate.judge` the verdict, `VerdictStore` keeps it
by `variant_digest`. Called by the pipeline and by the commands; nothing here imports torch.
"""

from __future__ import annotations

from atheria_server.optimize.quality.compare import compare
from atheria_server.optimize.quality.digests import code_digest, golden_digest, variant_digest, weights_digest
from atheria_server.optimize.quality.golden import golden_calls
from atheria_server.optimize.quality.store import VerdictStore

__all__ = [
    "VerdictStore",
    "code_digest",
    "compare",
    "golden_calls",
    "golden_digest",
    "variant_digest",
    "weights_digest",
]
