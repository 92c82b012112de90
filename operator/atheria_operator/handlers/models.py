"""One daemon per AtheriaModel, which runs its loops. Kopf gives it life, pause and exit."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final, cast

import kopf

from atheria_operator.api.model import ModelKey
from atheria_operator.handlers.children import MODELS
from atheria_operator.handlers.dependencies import Dependencies
from atheria_operator.handlers.kept import lighten
from atheria_operator.handlers.model_loops import ModelLoops

_CANCEL_SECONDS: Final = 5.0


def register_models(registry: kopf.OperatorRegistry, given: Dependencies) -> None:
    """Add the handlers of AtheriaModel."""

    @kopf.on.event(*MODELS, id="model-event", registry=registry)
    async def model_event(
        namespace: str | None, name: str, uid: str | None, event: kopf.RawEvent, **_: Any
    ) -> None:
        # The very object that kopf keeps for the daemon, before it does.
        lighten(cast("MutableMapping[str, Any]", event["object"]))
        key, is_deleted = _key(namespace, name), event["type"] == "DELETED"
        given.sight.told(str(uid), is_deleted=is_deleted)
        if is_deleted:
            # The indexes know it no more. Its loops do the same when they end, but may never have begun.
            given.upgrades.forget(key)
        given.wake(key)

    # One, not one for each loop: what kopf keeps for a daemon is more than what a loop keeps.
    @kopf.daemon(*MODELS, id="model-loops", cancellation_timeout=_CANCEL_SECONDS, registry=registry)
    async def model_loops(
        namespace: str | None, name: str, body: kopf.Body, stopped: kopf.DaemonStopped, **indexes: Any
    ) -> None:
        await ModelLoops(_key(namespace, name), body, stopped, indexes, given).run()


def _key(namespace: str | None, name: str) -> ModelKey:
    return ModelKey(namespace=str(namespace), name=name)
