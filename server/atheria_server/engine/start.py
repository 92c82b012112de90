"""From the configuration to the specifications of the workers and the bounds of the engine; light, imported first."""

from __future__ import annotations

from atheria_contract.serving import ServingConfig
from atheria_server.engine.launch import WorkerSpec
from atheria_server.engine.resources import processor_count, visible_devices


def worker_specs(config: ServingConfig) -> list[WorkerSpec]:
    """What the workers must load: `config.workers` on each device of the container."""
    devices = visible_devices() * config.workers
    return [
        WorkerSpec(config=config, device=device, threads=max(1, processor_count() // len(devices)))
        for device in devices
    ]
