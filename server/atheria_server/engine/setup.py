"""From a configuration to a model that computes: imports, LitServe's preparations, the user's `setup`, `optimize`.

Called by `engine.worker_main` in the worker process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from litserve.callbacks.base import CallbackRunner, EventTypes

from atheria_contract.serving import ServingConfig
from atheria_server.engine.hooks import PlainModel
from atheria_server.engine.litserve_log import LoggerQueue
from atheria_server.engine.phases import Phase, Progress
from atheria_server.models.contract import DeviceSharing
from atheria_server.models.registry import load_served
from atheria_server.models.served import Served, limit_batches
from atheria_server.optimize.compiled import Compiled
from atheria_server.optimize.loaded import LoadedModel
from atheria_server.optimize.pipeline import prepare


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyModel:
    """What a worker computes with."""

    model: Any
    """The described LitAPI, or a PlainModel."""
    loggers: LoggerQueue | None
    """Of `LitAPI.log`, to be stopped at the end."""
    compiled: Compiled | None
    """Its compiled functions, if there are any."""
    report: Mapping[str, Any]
    """See `optimize.report`."""


def build(config: ServingConfig) -> Served:
    """What the source names, its batch sizes within the server's. Raises what the user's module raises."""
    served = load_served(
        config.source, config.parameters, config.digest, cache_directory=config.cache.directory
    )
    limit_batches(served, config.max_batch_size)
    return served


def set_up(served: Served, config: ServingConfig, device: str, progress: Progress) -> ReadyModel:
    """The model, made as cheap as the configuration asks for and proved. Raises ModelRefusedError, and what the
    model's own code raises."""
    callbacks = CallbackRunner(served.callbacks) if served.callbacks else None
    loggers = LoggerQueue(served.loggers) if served.loggers else None
    progress(Phase(name="loading"))

    def set_up_all() -> None:
        for api in served.apis:
            if loggers:
                api.set_logger_queue(loggers)
            api.device = device
            if isinstance(api, DeviceSharing):
                api.workers_on_device = config.workers
            if callbacks:
                callbacks.trigger_event(EventTypes.BEFORE_SETUP.value, lit_api=api)
            api.setup(device)
            if callbacks:
                callbacks.trigger_event(EventTypes.AFTER_SETUP.value, lit_api=api)

    set_up_all()
    plain = None if served.described else PlainModel(served, callbacks)
    loaded = LoadedModel(api=served.main, device=device, plain=plain)
    prepared = prepare(loaded, config, reload=set_up_all, progress=progress)
    return ReadyModel(
        model=plain or served.main, loggers=loggers, compiled=prepared.compiled, report=prepared.report
    )
