"""What a custom runtime may and must say; called by `api.parse`.

A setting that nobody obeys is refused, not ignored: what our server does to a model (precision, compilation, warm-up, the quality
gate, sleep) a container of the user's does by arguments of its own.
"""

from __future__ import annotations

from typing import Final

from atheria_contract import names
from atheria_operator.api.model import CustomServer
from atheria_operator.api.types import AtheriaModelSpec
from atheria_operator.api.types.optimization import Compile, Precision, Quality, Warmup
from atheria_operator.api.types.serving import Batching, Concurrency, Custom, Model

_OURS: Final = ("builtin://", "python://")
"""Models that only our server has."""


def custom_server(model: Model) -> CustomServer | None:
    """The container of runtime custom; None for our server."""
    if model.runtime != names.RUNTIME_CUSTOM:
        return None
    given = model.custom or Custom()
    return CustomServer(
        ready_path=given.readyPath,
        live_path=given.livePath,
        in_flight_metrics=tuple(given.inFlightMetrics),
    )


def custom_problem(spec: AtheriaModelSpec) -> str:
    """What is wrong with the runtime, with field, value and what to write; empty for nothing."""
    model = spec.model
    if model.runtime != names.RUNTIME_CUSTOM:
        if model.custom is not None:
            return f"spec.model.custom is set, but spec.model.runtime is {model.runtime!r}: set it to custom, or remove custom"
        return ""
    if model.source.startswith(_OURS):
        return (
            f"spec.model.source is {model.source!r}, which only Atheria's own server has: name the model's files, such as "
            "hf://OWNER/NAME@REVISION or pvc://CLAIM/PATH, or leave spec.model.runtime out"
        )
    for field in _unheard(spec):
        return (
            f"{field} has no effect on a container of your own (spec.model.runtime is custom): remove it, and give the container "
            "named model in spec.podTemplate the argument that means it there"
        )
    if spec.scaling.scaleToZero.mode == names.MODE_SLEEP:
        return (
            "spec.scaling.scaleToZero.mode is 'sleep', which only Atheria's own server can: use mode delete, or leave "
            "spec.model.runtime out"
        )
    if not _image(spec):
        return (
            f"spec.model.runtime is custom, but spec.podTemplate.spec.containers has no container {names.CONTAINER_MODEL!r} with an "
            "image: add `- {name: model, image: REPOSITORY@sha256:DIGEST}`"
        )
    return ""


def _unheard(spec: AtheriaModelSpec) -> list[str]:
    """Fields that have been set and that only our server reads."""
    model, cache = spec.model, spec.cache
    given = {
        "spec.model.parameters": bool(model.parameters),
        "spec.model.digest": bool(model.digest),
        "spec.precision": spec.precision != Precision(),
        "spec.compile": spec.compile != Compile(),
        "spec.warmup": spec.warmup != Warmup(),
        "spec.quality": spec.quality != Quality(),
        "spec.cache.signingSecretName": bool(cache.signingSecretName),
        "spec.batching.maxLatency": spec.batching.maxLatency != Batching().maxLatency,
        "spec.concurrency.workersPerReplica": spec.concurrency.workersPerReplica
        != Concurrency().workersPerReplica,
    }
    return [field for field, is_set in given.items() if is_set]


def _image(spec: AtheriaModelSpec) -> str:
    for container in (spec.podTemplate.get("spec") or {}).get("containers") or ():
        if container["name"] == names.CONTAINER_MODEL:
            return str(container.get("image") or "")
    return ""
