"""Lets go of models whose deletion waits for this operator although kopf no longer looks at them.

While the definition itself is being deleted, the API server calls its models "not patchable", kopf drops its watch, and the finalizers would stay
for ever: definition, models and namespaces could not be deleted. What a model owns goes by owner references, so letting go is always safe.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from atheria_contract import names
from atheria_operator.runtime.ports import CONFLICT, NOT_FOUND, ClusterError

_LOG = logging.getLogger(__name__)
EVERY_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """A model that is being deleted and has our finalizer."""

    uid: str
    namespace: str
    name: str
    metadata: Mapping[str, Any]


class Models(Protocol):
    """Models at the API server; both methods raise ClusterError."""

    async def list_metadata(self) -> Sequence[Mapping[str, Any]]:
        """metadata of all models."""

    async def set_finalizers(
        self, namespace: str, name: str, finalizers: Sequence[str], version: str
    ) -> None:
        """Only over the version that was read (409 otherwise)."""


class Release:
    """Two looks in a row: what kopf releases itself is gone at the second."""

    def __init__(self, models: Models) -> None:
        """`models` is the API server."""
        self._models = models
        self._seen: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self.check()
            except ClusterError as error:
                if error.status != NOT_FOUND:
                    _LOG.warning("models cannot be listed: %s", error)

    async def check(self) -> None:
        """One look. Raises ClusterError."""
        leaving = leaving_models(await self._models.list_metadata())
        for one in leaving:
            if one.uid not in self._seen:
                continue
            others = [entry for entry in one.metadata["finalizers"] if entry != names.FINALIZER]
            try:
                await self._models.set_finalizers(
                    one.namespace, one.name, others, str(one.metadata["resourceVersion"])
                )
            except ClusterError as error:
                if error.status not in (CONFLICT, NOT_FOUND):
                    raise
                continue
            _LOG.info("model=%s/%s is let go: its deletion waited for this operator", one.namespace, one.name)
        self._seen = frozenset(one.uid for one in leaving)


def leaving_models(metadata: Sequence[Mapping[str, Any]]) -> list[Leaving]:
    """Those that are being deleted and have our finalizer."""
    return [
        Leaving(uid=str(one["uid"]), namespace=str(one["namespace"]), name=str(one["name"]), metadata=one)
        for one in metadata
        if one.get("deletionTimestamp") and names.FINALIZER in (one.get("finalizers") or ())
    ]
