"""spec.podTemplate over our pod template: maps merge, lists of named things merge by their key, other lists replace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

_KEYS: Final = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
}
_APPENDED: Final = frozenset({"tolerations"})


def merge_template(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` on top; a null in `over` removes the key. Neither argument is changed."""
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merge_template(result[key], value)
        elif _is_list(value) and _is_list(result.get(key)) and key in _KEYS:
            result[key] = _merge_named(result[key], value, _KEYS[key])
        elif _is_list(value) and _is_list(result.get(key)) and key in _APPENDED:
            result[key] = [*result[key], *(item for item in value if item not in result[key])]
        else:
            result[key] = value
    return result


def _merge_named(base: Sequence[Any], over: Sequence[Any], key: str) -> list[Any]:
    result = list(base)
    positions = {item.get(key): index for index, item in enumerate(base)}
    for item in over:
        index = positions.get(item.get(key)) if isinstance(item, Mapping) else None
        if index is None:
            result.append(item)
        else:
            result[index] = merge_template(result[index], item)
    return result


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))
