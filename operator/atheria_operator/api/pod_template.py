"""Whether spec.podTemplate has the shape of a pod template as far as the operator reads it; called by `api.parse`.

The schema leaves the field open, so that a pod may have what Kubernetes adds later; the API server judges the rest when the
Deployment is applied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

_FIELD: Final = "spec.podTemplate"
_NAMED_LISTS: Final = ("containers", "initContainers", "volumes")
_OBJECTS: Final = ("securityContext", "nodeSelector", "affinity")


def shape_problem(template: Mapping[str, Any]) -> str:
    """What is wrong, with field, value and what to write; empty for nothing."""
    if "spec" in template and template["spec"] is None:
        # A null removes what it is merged over, which here would be the pod.
        return f"{_FIELD}.spec is None: write an object, or leave it out"
    for part in ("metadata", "spec"):
        if problem := _not_an_object(template.get(part), f"{_FIELD}.{part}"):
            return problem
    for part in ("labels", "annotations"):
        if problem := _not_an_object((template.get("metadata") or {}).get(part), f"{_FIELD}.metadata.{part}"):
            return problem
    spec = template.get("spec") or {}
    for name in _OBJECTS:
        if problem := _not_an_object(spec.get(name), f"{_FIELD}.spec.{name}"):
            return problem
    for name in _NAMED_LISTS:
        if problem := _named_list(spec.get(name), f"{_FIELD}.spec.{name}"):
            return problem
    for index, container in enumerate(spec.get("containers") or ()):
        field = f"{_FIELD}.spec.containers[{index}].resources"
        resources = container.get("resources")
        if problem := _not_an_object(resources, field):
            return problem
        for part in ("requests", "limits"):
            if problem := _not_an_object((resources or {}).get(part), f"{field}.{part}"):
                return problem
    return ""


def _not_an_object(value: Any, field: str) -> str:
    if value is None or isinstance(value, Mapping):
        return ""
    return f"{field} is {_shown(value)}: write an object, as in a pod"


def _named_list(value: Any, field: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return f"{field} is {_shown(value)}: write a list, as in a pod"
    for index, item in enumerate(value):
        if not isinstance(item, Mapping) or not isinstance(item.get("name"), str):
            return f"{field}[{index}] is {_shown(item)}: write an object with a name; the serving container is named model"
    return ""


def _shown(value: Any) -> str:
    return repr(value)[:80]
