"""The Deployment of a revision."""

from __future__ import annotations

from typing import Any

from atheria_operator.api.model import ModelIntent
from atheria_operator.domain.desired.pod_template import name_revision
from atheria_operator.domain.desired.pod_tls import certificate_labels
from atheria_operator.domain.desired.revision import DesiredRevision
from atheria_operator.domain.names import common_labels, owned_metadata, pod_selector


def build_deployment(intent: ModelIntent, revision: DesiredRevision) -> dict[str, Any]:
    """Without spec.replicas: that field is the autoscaler's."""
    selector = pod_selector(intent.key, revision.hash)
    labels = {**common_labels(intent.key), **selector, **certificate_labels(has_tls=revision.has_tls)}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": owned_metadata(intent, revision.name, revision_hash=revision.hash),
        "spec": {
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": selector},
            "template": name_revision(dict(revision.template), labels, revision.name),
        },
    }
