"""The ServiceAccount of a model: an identity without rights, for image pulls and clouds."""

from __future__ import annotations

from typing import Any

from atheria_operator.api.model import ModelIntent
from atheria_operator.domain.names import owned_metadata


def build_service_account(intent: ModelIntent) -> dict[str, Any]:
    """No token is mounted with it."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": owned_metadata(intent, intent.key.name),
        "automountServiceAccountToken": False,
    }
