"""Waits until the API server serves CustomResourceDefinitions that were just applied. Used by tests and benchmarks.

Not `kubectl wait --for=condition=Established`: it fails on a definition whose conditions nobody has written yet, as on a busy machine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from atheria_local.errors import LocalError
from atheria_local.shell import run

TIMEOUT_SECONDS: Final = 90.0
_PAUSE_SECONDS: Final = 0.1


def not_established(definitions: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of those that are not served yet."""
    return [
        definition["metadata"]["name"]
        for definition in definitions
        if not any(
            condition["type"] == "Established" and condition["status"] == "True"
            for condition in (definition.get("status") or {}).get("conditions") or ()
        )
    ]


def wait_established(kubectl: Sequence[str], *names: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """Until the definitions of these names are served; without names all that there are. Raises LocalError with those that are not."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        found = json.loads(run([*kubectl, "get", "customresourcedefinitions", *names, "-o", "json"]))
        missing = not_established(found.get("items", [found]))
        if not missing:
            return
        if time.monotonic() > deadline:
            raise LocalError(
                f"definitions that are not served after {timeout_seconds:.0f} s: {', '.join(missing)}"
            )
        time.sleep(_PAUSE_SECONDS)
