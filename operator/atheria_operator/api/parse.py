"""From the body of a custom resource to a ModelIntent or a HardwareProfile, or to the Problem with it.

The API server has already refused what the schema forbids; what is left are facts that a schema cannot know, such as
the names of the built-in models, and objects that were stored under an older schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from atheria_contract import names
from atheria_contract.serving import ServingConfig
from atheria_operator.api.custom import custom_problem, custom_server
from atheria_operator.api.durations import duration_seconds
from atheria_operator.api.familiar import annotation_problem
from atheria_operator.api.model import (
    HardwareProfile,
    MemoryNeed,
    ModelIntent,
    ModelKey,
    Price,
    Problem,
)
from atheria_operator.api.optimization import (
    cache_section,
    cache_volume,
    compile_section,
    precision_section,
    quality_section,
    warmup_section,
)
from atheria_operator.api.pod_template import shape_problem
from atheria_operator.api.quantities import GIB, quantity_bytes
from atheria_operator.api.rollout import rollout_policy
from atheria_operator.api.scaling import scaling_policy
from atheria_operator.api.text import model_parameters, text_problem
from atheria_operator.api.types import AtheriaModelSpec, HardwareProfileSpec
from atheria_operator.api.types.profile import Price as GivenPrice
from atheria_operator.api.types.serving import Memory

INVALID_SPEC = "InvalidSpec"
UNKNOWN_SOURCE = "UnknownSource"
INVALID_PROFILE = "InvalidProfile"
_BUILTIN = "builtin://"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def key_of(body: Mapping[str, Any]) -> ModelKey:
    """Namespace and name of an object."""
    metadata = body["metadata"]
    return ModelKey(namespace=str(metadata["namespace"]), name=str(metadata["name"]))


def parse_model(body: Mapping[str, Any]) -> ModelIntent | Problem:
    """The intent of an AtheriaModel, or why it cannot be one."""
    metadata = body["metadata"]
    if problem := annotation_problem(metadata.get("annotations") or {}):
        return problem
    try:
        spec = AtheriaModelSpec.model_validate(_plain(body.get("spec") or {}))
    except ValidationError as error:
        return Problem(reason=INVALID_SPEC, message=_sentence(error))
    if problem := _source_problem(spec.model.source) or _parameter_problem(spec.model.parameters):
        return problem
    if message := shape_problem(spec.podTemplate) or custom_problem(spec) or text_problem(spec):
        return Problem(reason=INVALID_SPEC, message=message)
    key = key_of(body)
    try:
        warmup = warmup_section(spec.warmup)
        memory = _memory(spec.model.memory)
        scaling = scaling_policy(spec.scaling)
    except ValueError as error:
        return Problem(reason=INVALID_SPEC, message=str(error))
    return ModelIntent(
        key=key,
        uid=str(metadata["uid"]),
        generation=int(metadata.get("generation") or 0),
        serving=ServingConfig(
            name=key.name,
            source=spec.model.source,
            parameters=model_parameters(spec),
            digest=spec.model.digest,
            max_batch_size=spec.batching.maxBatchSize,
            max_latency_seconds=duration_seconds(spec.batching.maxLatency, "spec.batching.maxLatency"),
            max_queue_depth=spec.concurrency.maxQueueDepth,
            workers=spec.concurrency.workersPerReplica,
            idempotent=spec.model.idempotent,
            warmup_shapes=tuple(tuple(shape) for shape in spec.warmup.shapes),
            precision=precision_section(spec.precision),
            compile=compile_section(spec.compile),
            warmup=warmup,
            quality=quality_section(spec.quality),
            cache=cache_section(spec.cache),
        ),
        profile=spec.hardware.profile,
        device_count=spec.hardware.count,
        allows_spot=spec.hardware.allowSpot,
        memory=memory,
        pod_template=spec.podTemplate,
        custom=custom_server(spec.model),
        cache=cache_volume(spec.cache),
        scaling=scaling,
        rollout=rollout_policy(spec.rollout),
        requested_replicas=spec.replicas,
    )


def parse_profile(body: Mapping[str, Any]) -> HardwareProfile | Problem:
    """The hardware profile in an object, or why it is none."""
    name = str(body["metadata"]["name"])
    try:
        spec = HardwareProfileSpec.model_validate(_plain(body.get("spec") or {}))
    except ValidationError as error:
        return Problem(reason=INVALID_PROFILE, message=f"hardware profile {name!r}: {_sentence(error)}")
    alternatives = tuple(
        {label: tuple(values) for label, values in sorted(one.labels.items())}
        for one in spec.nodeAlternatives
    )
    if alternatives and spec.nodeAffinity.get(_REQUIRED):
        return Problem(
            reason=INVALID_PROFILE,
            message=f"hardware profile {name!r}: spec.nodeAffinity has {_REQUIRED} beside spec.nodeAlternatives: move its terms "
            "to nodeAlternatives, or leave nodeAlternatives out",
        )
    limit = quantity_bytes(spec.resources.limits.get("memory"), "spec.resources.limits.memory")
    return HardwareProfile(
        name=name,
        resource_name=spec.resourceName,
        resources_per_unit=spec.resourcesPerUnit,
        resources={
            part: amounts
            for part, amounts in (("requests", spec.resources.requests), ("limits", spec.resources.limits))
            if amounts
        },
        node_selector=spec.nodeSelector,
        node_affinity=spec.nodeAffinity,
        tolerations=tuple(spec.tolerations),
        image=spec.image,
        node_alternatives=alternatives,
        is_spot=spec.spot,
        memory_bytes=spec.memoryGiB * GIB or (None if spec.resourceName else limit),
        price=_price(spec.price),
    )


def _memory(given: Memory) -> MemoryNeed:
    field = "spec.model.memory"
    return MemoryNeed(
        weights_bytes=quantity_bytes(given.weights, f"{field}.weights"),
        activations_bytes_per_row=quantity_bytes(given.activationsPerRow, f"{field}.activationsPerRow"),
        cache_bytes_per_row=quantity_bytes(given.cachePerRow, f"{field}.cachePerRow"),
    )


def _price(given: GivenPrice | None) -> Price | None:
    if given is None:
        return None
    return Price(usd_per_hour=Decimal(given.usdPerHour), source=given.source, date=given.date)


def _source_problem(source: str) -> Problem | None:
    name = source.removeprefix(_BUILTIN)
    if not source.startswith(_BUILTIN) or name in names.BUILTIN_MODELS:
        return None
    return Problem(
        reason=UNKNOWN_SOURCE,
        message=f"spec.model.source is {source!r}, but there is no built-in model {name!r}: use one of "
        f"{', '.join(_BUILTIN + known for known in names.BUILTIN_MODELS)}, or python://package.module:LitAPIClass",
    )


def _parameter_problem(parameters: Mapping[str, Any]) -> Problem | None:
    for name, value in parameters.items():
        if not isinstance(value, (str, int, float, bool)):
            return Problem(
                reason=INVALID_SPEC,
                message=f"spec.model.parameters.{name} is {value!r}: give a string, a number or a boolean",
            )
    return None


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    path = ".".join(["spec", *(str(part) for part in first["loc"])])
    return f"{path} is {first.get('input')!r}: {first['msg']}"


def _plain(value: Any) -> Any:
    """Copies of live views and mappings as dicts, which is what the types take."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
