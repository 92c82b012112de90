"""Lets go of models that are being deleted: of their Deployments at once, and of the finalizer where kopf no longer looks.

While the definition itself is being deleted, the API server calls its models "not patchable", kopf drops its watch, and the finalizers would stay
for ever: definition, models and namespaces could not be deleted. Owner references alone are not enough then either: a garbage collector that does
not know the definition (it learns of definitions every 30 s) cannot tell that the owner is gone, and pods with GPUs would run on unseen.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from atheria_contract import names
from atheria_operator.runtime.ports import CONFLICT, NOT_FOUND, ClusterError
from atheria_operator.runtime.sight import Sight

_LOG = logging.getLogger(__name__)
EVERY_SECONDS: Final = 15.0
ORPHANS: Final = "orphan"
"""The API server's own finalizer: dependents are to stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """A model that is being deleted and has our finalizer."""

    uid: str
    namespace: str
    name: str
    metadata: Mapping[str, Any]


class Models(Protocol):
    """Models at the API server; every method raises ClusterError."""

    async def list_metadata(self) -> Sequence[Mapping[str, Any]]:
        """metadata of all models."""

    async def set_finalizers(
        self, namespace: str, name: str, finalizers: Sequence[str], version: str
    ) -> None:
        """Only over the version that was read (409 otherwise)."""

    async def delete_workloads(self, namespace: str, name: str, uid: str) -> int:
        """Delete the Deployments that the model `uid` owns; how many there were."""


class Release:
    """Two looks in a row: what kopf releases itself is gone at the second.

    The loops of a leaving model end at the first, so that they do not make again what is deleted at the second.
    """

    def __init__(
        self, models: Models, sight: Sight, left: Callable[[Leaving], None] = lambda _: None
    ) -> None:
        """`models` is the API server; `left` is told of each leaving model that is seen for the first time."""
        self._models = models
        self._sight = sight
        self._left = left
        self._seen: frozenset[str] = frozenset()

    @property
    def leaving(self) -> frozenset[str]:
        """Uids of the models that were leaving at the last look."""
        return self._seen

    async def run(self) -> None:
        """Until cancelled. Raises Blind."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self.check()
            except ClusterError as error:
                if error.status != NOT_FOUND:
                    _LOG.warning("models cannot be listed: %s", error)

    async def check(self) -> None:
        """One look. Raises ClusterError, Blind."""
        listed = await self._models.list_metadata()
        self._sight.check({str(one["uid"]) for one in listed if not one.get("deletionTimestamp")})
        leaving = leaving_models(listed)
        arrived: list[Leaving] = []
        for one in leaving:
            if one.uid not in self._seen:
                arrived.append(one)
                continue
            others = [entry for entry in one.metadata["finalizers"] if entry != names.FINALIZER]
            await delete_workloads(self._models, one.metadata)
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
        for one in arrived:
            self._left(one)


async def delete_workloads(models: Models, metadata: Mapping[str, Any]) -> None:
    """Delete the Deployments of a leaving model, unless who deleted it wants them kept (`--cascade=orphan`). Raises ClusterError."""
    if not metadata.get("deletionTimestamp") or ORPHANS in (metadata.get("finalizers") or ()):
        return
    namespace, name = str(metadata["namespace"]), str(metadata["name"])
    count = await models.delete_workloads(namespace, name, str(metadata["uid"]))
    if count:
        _LOG.info("model=%s/%s leaves: deleted Deployments=%s", namespace, name, count)


def leaving_models(metadata: Sequence[Mapping[str, Any]]) -> list[Leaving]:
    """Those that are being deleted and have our finalizer."""
    return [
        Leaving(uid=str(one["uid"]), namespace=str(one["namespace"]), name=str(one["name"]), metadata=one)
        for one in metadata
        if one.get("deletionTimestamp") and names.FINALIZER in (one.get("finalizers") or ())
    ]
