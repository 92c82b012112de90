"""Waits until the API server serves CustomResourceDefinitions that were just applied, or has deleted them. Used by tests and benchmarks.

Not `kubectl wait --for=condition=Established`: it fails on a definition whose conditions nobody has written yet, as on a busy machine, and
one that is established may not be listed yet.
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
_NUDGE: Final = "atheria.dev/nudge"
_NUDGE_SECONDS: Final = 0.5


def delete_definitions(kubectl: Sequence[str], *names: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """Delete the definitions of these names, those that there are, and wait. Raises LocalError with those that stay."""
    run([*kubectl, "delete", "customresourcedefinitions", *names, "--ignore-not-found", "--wait=false"])
    deadline = time.monotonic() + timeout_seconds
    while left := sorted({*names} & {*nudge_deletions(kubectl)}):
        if time.monotonic() > deadline:
            raise LocalError(
                f"definitions that are not deleted after {timeout_seconds:.0f} s: {', '.join(left)} (see their condition Terminating)"
            )
        time.sleep(_NUDGE_SECONDS)


def nudge_deletions(kubectl: Sequence[str]) -> list[str]:
    """Names of the definitions that are being deleted. Each is changed, so that the API server goes on with it at once.

    Where it finds their storage just being made (condition Terminating: "storage is (re)initializing"), it tries again after a pause that
    grows to minutes, unless it hears of them: operator-framework/operator-controller#1437, projectcalico/calico#13677.
    """
    found = json.loads(run([*kubectl, "get", "customresourcedefinitions", "-o", "json"]))["items"]
    going = [one["metadata"]["name"] for one in found if one["metadata"].get("deletionTimestamp")]
    for name in going:
        mark = f"{_NUDGE}={time.monotonic_ns()}"
        # It may be gone by now.
        run([*kubectl, "annotate", "--overwrite", f"customresourcedefinition/{name}", mark], check=False)
    return going


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


def _not_listed(kubectl: Sequence[str], definitions: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of those that a client would not find: the API server lists a kind a moment after it was established."""
    # It fails where an aggregated API does not answer, and lists the others all the same.
    listed = run([*kubectl, "api-resources", "--cached=false", "-o", "name"], check=False).split()
    return [name for name in (one["metadata"]["name"] for one in definitions) if name not in listed]


def wait_established(kubectl: Sequence[str], *names: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """Until the definitions of these names are served; without names all that there are. Raises LocalError with those that are not."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        found = json.loads(run([*kubectl, "get", "customresourcedefinitions", *names, "-o", "json"]))
        definitions = found.get("items", [found])
        missing = not_established(definitions) or _not_listed(kubectl, definitions)
        if not missing:
            return
        if time.monotonic() > deadline:
            raise LocalError(
                f"definitions that are not served after {timeout_seconds:.0f} s: {', '.join(missing)}"
            )
        time.sleep(_PAUSE_SECONDS)
