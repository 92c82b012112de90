"""`atheria rollout`: how far a model's change is, and pause, resume, promote or roll back by its annotation. Called by `__main__`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.text import Text

from atheria_cli.console import plain_table
from atheria_cli.errors import CommandError, ExitCode
from atheria_cli.kubectl import Kubectl, in_namespace
from atheria_cli.model.read import KIND, read_model
from atheria_cli.model.summary import condition, is_seen
from atheria_cli.options import Output
from atheria_contract import names

WATCH_EVERY_SECONDS: Final = 1.0
_RETURNED: Final = "RolledBack"


class Verb(StrEnum):
    """What a person wants of a rollout."""

    STATUS = "status"
    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ROLLBACK = "rollback"


def annotation_of(verb: Verb, suffix: str) -> str:
    """The argument of `kubectl annotate`; `suffix` makes a command that was given before a new one."""
    if verb is Verb.RESUME:
        return f"{names.ANNOTATION_ROLLOUT}-"
    value = "paused" if verb is Verb.PAUSE else f"{verb.value}:{suffix}"
    return f"{names.ANNOTATION_ROLLOUT}={value}"


def command_rollout(cluster: Kubectl, verb: Verb, model: str, namespace: str, suffix: str) -> str:
    """Set the annotation; returns the sentence to print."""
    where = in_namespace(namespace)
    cluster.kubectl("annotate", KIND, model, *where, annotation_of(verb, suffix), "--overwrite")
    return f"{verb.value}: asked for; see atheria rollout status {' '.join((model, *where))}"


def rollout_status(
    cluster: Kubectl,
    model: str,
    namespace: str,
    output: Output,
    console: Console,
    *,
    wait: bool,
    timeout_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Print it, with `wait` when it is over. Raises CommandError when the change was given up, TIMEOUT when it is not over in time."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        body = read_model(cluster, model, namespace)
        progressing = condition(body, "Progressing")
        if _is_over(body) or not wait:
            break
        if time.monotonic() >= deadline:
            words = progressing.get("message") or "the operator has not seen the change"
            raise CommandError(f"not over within {timeout_seconds:g} s: {words}", ExitCode.TIMEOUT)
        sleep(WATCH_EVERY_SECONDS)
    if output is Output.JSON:
        console.print_json(json.dumps(as_json(body)))
    else:
        console.print(rollout_words(body))
    if wait and progressing.get("reason") == _RETURNED:
        raise CommandError(f"the change was given up: {progressing.get('message', '')}")


def as_json(body: Mapping[str, Any]) -> dict[str, Any]:
    """status.rollout with the words of the condition Progressing, and the revisions with their share of the calls."""
    status, progressing = body.get("status") or {}, condition(body, "Progressing")
    return {
        **(status.get("rollout") or {}),
        "is_seen": is_seen(body, progressing),
        "is_over": _is_over(body),
        "reason": progressing.get("reason", ""),
        "message": progressing.get("message", ""),
        "revisions": status.get("revisions") or [],
    }


def _is_over(body: Mapping[str, Any]) -> bool:
    """Of the spec as it is now, taken over or given up, and nothing that a person wants of it is still to be read."""
    progressing = condition(body, "Progressing")
    return progressing.get("status") == "False" and is_seen(body, progressing) and _is_obeyed(body)


def _is_obeyed(body: Mapping[str, Any]) -> bool:
    """Whether the operator has read the annotation, which changes no generation: until then the state is that of before."""
    text = str((body["metadata"].get("annotations") or {}).get(names.ANNOTATION_ROLLOUT) or "")
    if text.partition(":")[0] not in (Verb.PROMOTE, Verb.ROLLBACK):
        return True
    answered = ((body.get("status") or {}).get("rollout") or {}).get("answered")
    return bool(answered == text[: names.LONGEST_ROLLOUT_COMMAND])


def rollout_words(body: Mapping[str, Any]) -> RenderableType:
    """Phase, why, and the revisions with their share of the calls and what was counted of them."""
    status = body.get("status") or {}
    rollout, progressing = status.get("rollout") or {}, condition(body, "Progressing")
    head = Text.assemble(
        (rollout.get("phase") or "not seen by the operator yet", "bold"),
        f"  {progressing.get('message', '')}",
    )
    counted = {one["revision"]: one for one in rollout.get("counted") or ()}
    table = plain_table("REVISION", "CALLS", "PODS", "COUNTED", "ERRORS", "P95")
    for one in status.get("revisions") or ():
        seen = counted.get(one["name"], {})
        p95 = seen.get("p95Seconds")
        table.add_row(
            one["name"] + (" (candidate)" if one["name"] == rollout.get("candidate") else ""),
            f"{one.get('weight', 0)} %",
            f"{one.get('readyReplicas', 0)}/{one.get('replicas', 0)}",
            str(seen.get("calls", "-")),
            str(seen.get("errors", "-")),
            "-" if p95 is None else f"{1000 * p95:.0f} ms",
        )
    return Group(head, table) if status.get("revisions") else head
