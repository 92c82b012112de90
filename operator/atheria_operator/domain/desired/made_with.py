"""What of the operator's settings a revision was rendered with, as its Deployment tells.

Called by `domain.desired.plan`: a model whose turn has not come is rendered as before, so that nothing of it changes meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from atheria_contract import names
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.domain.desired.pod_tls import is_encrypted
from atheria_operator.domain.desired.telemetry import Telemetry, rendered_telemetry
from atheria_operator.domain.observed import Body


def settings_text(defaults: ServerDefaults) -> str:
    """For the Deployment's annotation: what neither its label nor its other annotation tells."""
    found = {"pullPolicy": defaults.pull_policy, "telemetry": asdict(defaults.telemetry)}
    return json.dumps(found, sort_keys=True, separators=(",", ":"))


def made_with(deployment: Body, now: ServerDefaults) -> ServerDefaults:
    """The settings of a revision; those of an older operator, which did not note them, are read from its pod template. What neither
    says is as `now`."""
    annotations = deployment["metadata"].get("annotations") or {}
    noted = _settings(str(annotations.get(names.ANNOTATION_SERVER_SETTINGS) or ""))
    settings = noted or _rendered(deployment)
    return replace(
        now,
        image=str(annotations.get(names.ANNOTATION_SERVER_IMAGE) or now.image),
        pull_policy=str(settings.get("pullPolicy") or now.pull_policy),
        telemetry=_telemetry(settings.get("telemetry"), now.telemetry),
        pod_tls=is_encrypted(deployment),
    )


def differing_values(one: ServerDefaults, other: ServerDefaults) -> tuple[str, ...]:
    """The chart's values by which two settings differ, without the image."""
    tracing = replace(one.telemetry, log_format=other.telemetry.log_format) != other.telemetry
    found = {
        "podTls": one.pod_tls != other.pod_tls,
        "tracing": tracing,
        "logFormat": one.telemetry.log_format != other.telemetry.log_format,
        "image.pullPolicy": one.pull_policy != other.pull_policy,
    }
    return tuple(name for name, differs in found.items() if differs)


def _settings(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}


def _rendered(deployment: Body) -> Mapping[str, Any]:
    """As the annotation has them."""
    spec = ((deployment.get("spec") or {}).get("template") or {}).get("spec") or {}
    for container in spec.get("containers") or ():
        if container.get("name") == names.CONTAINER_MODEL:
            found = {"telemetry": asdict(rendered_telemetry(spec, container))}
            return {**found, "pullPolicy": container.get("imagePullPolicy")}
    return {}


def _telemetry(stored: Any, now: Telemetry) -> Telemetry:
    """Entries of another version of the operator are not known, and left out."""
    if not isinstance(stored, Mapping):
        return now
    known = asdict(Telemetry())
    return Telemetry(**{name: str(value) for name, value in stored.items() if name in known})
