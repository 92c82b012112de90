"""The model as a BentoML service with adaptive batching; run by `bentoml serve` in the environment of bentoml.txt."""

from __future__ import annotations

import bentoml
import numpy as np

from bench.serving import model


@bentoml.service(workers=1, traffic={"timeout": 60})
class Served:
    """One batchable endpoint, /infer."""

    def __init__(self) -> None:
        self._model = model.Model()

    @bentoml.api(
        batchable=True,
        max_batch_size=model.MAX_BATCH,
        # BentoML refuses calls that it expects to take longer; 32 callers with JSON of this size wait for a second and more.
        max_latency_ms=10_000,
    )
    def infer(self, x: np.ndarray) -> np.ndarray:
        """FP32 [n, 4, 64, 64] -> the same."""
        return self._model(np.asarray(x, np.float32))
