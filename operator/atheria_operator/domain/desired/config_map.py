"""The ConfigMap of a revision: what the server is told to serve."""

from __future__ import annotations

from typing import Any

from atheria_contract import names
from atheria_operator.api.model import ModelIntent
from atheria_operator.domain.desired.revision import DesiredRevision
from atheria_operator.domain.names import owned_metadata


def build_config_map(intent: ModelIntent, revision: DesiredRevision) -> dict[str, Any]:
    """One key, the serving configuration as JSON."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": owned_metadata(intent, revision.name, revision_hash=revision.hash),
        "data": {names.CONFIG_FILE: revision.config_json},
    }
