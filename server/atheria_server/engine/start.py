"""From the configuration to the specification of a worker and the bounds of the engine; light, imported first."""

from __future__ import annotations

from atheria_contract.serving import ServingConfig
from atheria_server.engine.process import WorkerSpec
from atheria_server.engine.resources import default_device


def worker_spec(config: ServingConfig) -> WorkerSpec:
    """What the worker must load."""
    return WorkerSpec(
        source=config.source,
        parameters=config.parameters,
        digest=config.digest,
        device=default_device(),
        max_batch_size=config.max_batch_size,
    )
