"""A revision: what its pods are, named by the hash of exactly that. Another spec is another revision, never an edit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Final

from atheria_contract.serving import ServingConfig
from atheria_operator.api.model import HardwareProfile, ModelIntent
from atheria_operator.domain.desired.pod_template import GRACE_SECONDS, ServerDefaults, build_pod_template
from atheria_operator.domain.names import revision_name

HASH_LENGTH: Final = 10
END_SECONDS: Final = 5.0
"""Of a pod's grace: for the end of the server's own processes, after its calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredRevision:
    """The revision that the spec asks for."""

    hash: str
    name: str
    """Name of its Deployment, Service and ConfigMap."""
    config_json: str
    template: Mapping[str, Any]
    """Pod template without labels and ConfigMap of the revision."""
    has_tls: bool = False
    """Its pods speak TLS."""


def build_revision(
    intent: ModelIntent, profile: HardwareProfile, defaults: ServerDefaults
) -> DesiredRevision:
    """The revision of an intent; scaling has no part in its hash."""
    template = build_pod_template(intent, profile, defaults)
    config_json = config_text(_within_grace(intent.serving, template))
    digest = digest_of({"config": config_json, "template": template})
    return DesiredRevision(
        hash=digest,
        name=revision_name(intent.key.name, digest),
        config_json=config_json,
        template=template,
        has_tls=defaults.pod_tls,
    )


def _within_grace(serving: ServingConfig, template: Mapping[str, Any]) -> ServingConfig:
    """A person's own terminationGracePeriodSeconds is time for accepted calls: long streams get it, and a short one is kept to."""
    grace_seconds = template["spec"].get("terminationGracePeriodSeconds")
    if not isinstance(grace_seconds, int) or grace_seconds == GRACE_SECONDS:
        return serving
    left = grace_seconds - serving.drain_delay_seconds - END_SECONDS
    return replace(serving, drain_timeout_seconds=max(0.0, left))


def config_text(serving: ServingConfig) -> str:
    """The configuration as JSON, without sections that say nothing: a server from before they existed reads it, too."""
    default = ServingConfig(name=serving.name, source=serving.source)
    silent = {
        field.name
        for field in fields(serving)
        if is_dataclass(section := getattr(serving, field.name)) and section == getattr(default, field.name)
    }
    data = {key: value for key, value in json.loads(serving.to_json()).items() if key not in silent}
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def digest_of(value: Any) -> str:
    """Ten hexadecimal digits of any JSON value; the order of keys has no part in it."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]
