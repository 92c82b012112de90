"""`atheria rollout`: pause, resume, promote or roll back a model's rollout, by its annotation. Called by `__main__`."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from atheria_contract import names


class Verb(StrEnum):
    """What a person wants of a rollout."""

    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ROLLBACK = "rollback"


class Kubectl(Protocol):
    """As `demo.cluster.Cluster` has it."""

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl and return what it printed."""
        ...


def annotation_of(verb: Verb, suffix: str) -> str:
    """The argument of `kubectl annotate`; `suffix` makes a command that was given before a new one."""
    if verb is Verb.RESUME:
        return f"{names.ANNOTATION_ROLLOUT}-"
    value = "paused" if verb is Verb.PAUSE else f"{verb.value}:{suffix}"
    return f"{names.ANNOTATION_ROLLOUT}={value}"


def command_rollout(cluster: Kubectl, verb: Verb, model: str, namespace: str, suffix: str) -> str:
    """Set the annotation; returns the sentence to print."""
    kind = f"{names.MODEL_PLURAL}.{names.GROUP}"
    cluster.kubectl("annotate", kind, model, "-n", namespace, annotation_of(verb, suffix), "--overwrite")
    return f"{verb.value}: asked for; see kubectl describe am {model} -n {namespace}, condition Progressing"
