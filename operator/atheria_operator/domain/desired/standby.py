"""Pods that may be put to sleep are told by which token, as its digest. Called by the reconcile loop before the plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from atheria_contract.serving import StandbyConfig
from atheria_contract.standby import standby_token, token_digest
from atheria_operator.api.model import ModelIntent, Problem

NO_STANDBY_KEY: Final = "NoStandbyKey"


def with_standby(intent: ModelIntent, key: bytes) -> ModelIntent | Problem:
    """The intent as its pods are to be configured; without a key (empty) a model that sleeps is not accepted."""
    if not intent.scaling.sleeps:
        return intent
    if not key:
        return Problem(
            reason=NO_STANDBY_KEY,
            message="spec.scaling.scaleToZero.mode is 'sleep', and the operator has no key to order pods to sleep: make a Secret in its "
            "namespace with the entry `key` (openssl rand -hex 32) and set the chart's value standby.secretName, or use mode delete",
        )
    token = standby_token(key, intent.key.namespace, intent.key.name)
    standby = StandbyConfig(token_digest=token_digest(token))
    return replace(intent, serving=replace(intent.serving, standby=standby))
