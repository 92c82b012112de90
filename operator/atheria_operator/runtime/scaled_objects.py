"""Keeps the ScaledObject of one model: there with class keda, gone otherwise. Called by the reconcile loop in each round.

It is read where it is needed instead of watched: KEDA may be installed later or never, and a watch would ask for its definition in every
cluster. That one was made is remembered in status.scaledBy.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from atheria_operator.api.model import ModelIntent, ModelKey, Problem
from atheria_operator.domain.desired.plan import contains
from atheria_operator.domain.interop.scaled_object import API_VERSION, KIND, build_scaled_object
from atheria_operator.domain.observed import Body, is_leaving, is_owned
from atheria_operator.runtime.ports import NOT_FOUND, ClusterError, ClusterWriter, ObjectRef

_LOG = logging.getLogger(__name__)
KEDA_MISSING: Final = "KedaMissing"
SCALER_OFF: Final = "ScalerOff"
REFUSED: Final = "ScaledObjectRefused"
NAME_CONFLICT: Final = "ScaledObjectNameConflict"
REPLACED: Final = "ScaledObjectGoes"


@dataclass(frozen=True, slots=True, kw_only=True)
class KedaView:
    """What became of it."""

    live: Body | None = None
    problem: Problem | None = None
    """Why KEDA cannot scale the model."""


class ScaledObjects:
    """The ScaledObject of one model."""

    def __init__(self, key: ModelKey, cluster: ClusterWriter, scaler_address: str, manager: str) -> None:
        """`scaler_address` is host:port at which KEDA reaches the operator; empty = the external scaler is off."""
        self._ref = ObjectRef(api_version=API_VERSION, kind=KIND, namespace=key.namespace, name=key.name)
        self._cluster = cluster
        self._address = scaler_address
        self._manager = manager

    async def remove(self, owner_uid: str) -> None:
        """Delete it where it is this model's. Raises ClusterError."""
        live = await self._cluster.read(self._ref)
        if live is None or not is_owned(live, owner_uid) or is_leaving(live):
            return
        await self._cluster.delete(self._ref, str(live["metadata"]["uid"]))
        _LOG.info("model=%s/%s deleted=%s", self._ref.namespace, self._ref.name, KIND)

    async def keep(self, intent: ModelIntent) -> KedaView:
        """Make it or put it right. Raises ClusterError where trying again may help."""
        if not self._address:
            return _failed(
                SCALER_OFF,
                "the operator's external scaler is off: set the chart value operator.externalScaler.enabled=true",
            )
        live = await self._cluster.read(self._ref)
        if live is not None and is_leaving(live):
            return _failed(REPLACED, "an older ScaledObject of this name is being deleted")
        if live is not None and not is_owned(live, intent.uid):
            return _failed(
                NAME_CONFLICT,
                f"ScaledObject {self._ref.namespace}/{self._ref.name} exists and does not belong to this model: delete it, or set "
                "spec.scaling.class to external to keep it",
            )
        wanted = build_scaled_object(intent, self._address)
        if live is not None and contains(live, _without_type(wanted)):
            return KedaView(live=live)
        try:
            live = await self._cluster.apply(wanted, manager=self._manager)
        except ClusterError as error:
            if error.status == NOT_FOUND:
                return _failed(
                    KEDA_MISSING,
                    "the API server does not know ScaledObjects (keda.sh): install KEDA, or set spec.scaling.class to atheria",
                )
            if not error.is_refusal:
                raise
            return _failed(REFUSED, f"the API server refuses the model's ScaledObject: {error.message}")
        _LOG.info("model=%s/%s applied=%s", self._ref.namespace, self._ref.name, KIND)
        return KedaView(live=live)


def _without_type(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key: part for key, part in body.items() if key not in ("apiVersion", "kind")}


def _failed(reason: str, message: str) -> KedaView:
    return KedaView(problem=Problem(reason=reason, message=message))
