"""The ways to serve one model that are compared: as it is written, and with what a configuration asks for.

Each is loaded for itself in this process and prepared by the same pipeline as in the server. Called by `evaluate` and
`economics`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from atheria_contract.optimization import CompileConfig, PrecisionConfig
from atheria_contract.serving import ServingConfig
from atheria_server.engine.phases import no_progress
from atheria_server.models.contract import WarmupCall
from atheria_server.optimize.loaded import LoadedModel, load_model
from atheria_server.optimize.pipeline import prepare


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A model that is ready."""

    loaded: LoadedModel
    report: Mapping[str, Any]
    """Of the pipeline: precision, weights, quality, compile, warm."""
    eager_fallbacks: Callable[[], int] | None
    """Compiled functions that were computed without their compiled form since the model is ready; None = not compiled."""
    load_seconds: float
    """Import, build and set up."""
    prepare_seconds: float
    """The pipeline."""

    def predict(self, call: WarmupCall) -> Any:
        """A function that computes the call's batch again and again."""
        batch = self.loaded.batch(call)
        return lambda: self.loaded.api.predict(batch)


def build_variant(config: ServingConfig, device: str) -> Variant:
    """Load and prepare. Raises SourceError, ModelRefusedError, and what the model's own code raises."""
    began = time.perf_counter()
    loaded = load_model(config.source, config.parameters, digest=config.digest, device=device)
    loaded_at = time.perf_counter()
    prepared = prepare(loaded, config, reload=lambda: loaded.api.setup(device), progress=no_progress)
    return Variant(
        loaded=loaded,
        report=prepared.report,
        eager_fallbacks=prepared.compiled.eager_fallbacks if prepared.compiled else None,
        load_seconds=loaded_at - began,
        prepare_seconds=time.perf_counter() - loaded_at,
    )


def as_written(config: ServingConfig) -> ServingConfig:
    """The same model in fp32, eager."""
    return replace(config, precision=PrecisionConfig(), compile=CompileConfig())


def only_compiled(config: ServingConfig) -> ServingConfig:
    """The same model in fp32, compiled as asked for."""
    return replace(config, precision=PrecisionConfig())


def only_narrowed(config: ServingConfig) -> ServingConfig:
    """The same model in the precision that is asked for, eager."""
    return replace(config, compile=CompileConfig())


def for_measuring(config: ServingConfig, largest: int) -> ServingConfig:
    """Batches as large as those that are measured; a variant that fails its gate is measured and reported."""
    return replace(
        config,
        max_batch_size=max(largest, config.max_batch_size),
        quality=replace(config.quality, allow_unvalidated=True),
    )
