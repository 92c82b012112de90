"""From a configuration to a model that computes: imports, LitServe's preparations, the user's `setup`.

Called by `engine.worker_main` in the worker process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litserve.callbacks.base import CallbackRunner, EventTypes

from atheria_server.engine.hooks import PlainModel
from atheria_server.engine.litserve_log import LoggerQueue
from atheria_server.models.registry import load_served
from atheria_server.models.served import Served, limit_batches


def build(config: Mapping[str, Any]) -> Served:
    """What the source names, its batch sizes within the server's. Raises what the user's module raises."""
    served = load_served(config["source"], config["parameters"], config["digest"])
    limit_batches(served, config["max_batch_size"])
    return served


def set_up(served: Served, device: str) -> tuple[Any, LoggerQueue | None]:
    """What the worker computes with, and the loggers of `LitAPI.log`, to be stopped at the end."""
    callbacks = CallbackRunner(served.callbacks) if served.callbacks else None
    loggers = LoggerQueue(served.loggers) if served.loggers else None
    for api in served.apis:
        if loggers:
            api.set_logger_queue(loggers)
        api.device = device
        if callbacks:
            callbacks.trigger_event(EventTypes.BEFORE_SETUP.value, lit_api=api)
        api.setup(device)
        if callbacks:
            callbacks.trigger_event(EventTypes.AFTER_SETUP.value, lit_api=api)
    return served.main if served.described else PlainModel(served, callbacks), loggers
