"""What differs between an object as it is and as it would be, in words a person reads. PURE; used by `plan` and `apply`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_KEPT_METADATA: Final = ("labels", "annotations")
"""Of the metadata, what a person writes; the rest is the API server's."""
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_WIDEST: Final = 120
"""Characters of one value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One field."""

    path: str
    """E.g. spec.scaling.maxReplicas."""
    before: Any
    """None = it was not there."""
    after: Any
    """None = it will not be there."""

    def __str__(self) -> str:
        if self.before is None:
            return f"+ {self.path}: {_shown(self.after)}"
        if self.after is None:
            return f"- {self.path}: {_shown(self.before)}"
        return f"~ {self.path}: {_shown(self.before)} -> {_shown(self.after)}"


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Fields that differ, by path; status and what the API server writes itself are left out. `before` empty = a new object."""
    found = _walk("", _own(before), _own(after))
    return tuple(map(_hidden, found)) if after.get("kind") == "Secret" else tuple(found)


def _own(body: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        key: value for key, value in body.items() if key not in ("status", "metadata", "apiVersion", "kind")
    }
    metadata = body.get("metadata") or {}
    for name in _KEPT_METADATA:
        kept = {key: value for key, value in (metadata.get(name) or {}).items() if key != _LAST_APPLIED}
        if kept:
            found.setdefault("metadata", {})[name] = kept
    return found


def _hidden(change: Change) -> Change:
    """Which key of a Secret differs, never what it holds."""
    if not change.path.startswith(("data.", "stringData.")):
        return change
    return Change(
        path=change.path,
        before=None if change.before is None else "(hidden)",
        after=None if change.after is None else "(hidden)",
    )


def _walk(path: str, before: Any, after: Any) -> Iterator[Change]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            name = f"{path}.{key}" if path else str(key)
            yield from _walk(name, before.get(key), after.get(key))
    elif before is None and isinstance(after, Mapping) and after:
        yield from _walk(path, {}, after)
    elif after is None and isinstance(before, Mapping) and before:
        yield from _walk(path, before, {})
    elif before != after:
        yield Change(path=path, before=before, after=after)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
