"""The spec of an AtheriaModel."""

# ruff: noqa: N815 - fields are spelt as in the API.

from __future__ import annotations

from pydantic import ConfigDict, Field

from atheria_operator.api.types.fields import Part, PreservedObject, refusals
from atheria_operator.api.types.optimization import (
    Cache,
    Compile,
    Precision,
    Quality,
    Warmup,
    batches_are_compiled_up_to_their_size,
    compiled_code_is_signed,
)
from atheria_operator.api.types.rollout import Rollout
from atheria_operator.api.types.scaling import Scaling
from atheria_operator.api.types.serving import Batching, Concurrency, Hardware, Model
from atheria_operator.api.types.text import Attention, KvCache, only_text_models_have_them


class AtheriaModelSpec(Part):
    """What the user wants."""

    model_config = ConfigDict(
        json_schema_extra=refusals(
            compiled_code_is_signed(), batches_are_compiled_up_to_their_size(), only_text_models_have_them()
        )
    )

    model: Model = Field(description="What to serve. Required.")
    hardware: Hardware = Field(
        default=Hardware(), description="On what to serve it. Default: one unit of the profile cpu."
    )
    batching: Batching = Field(
        default=Batching(),
        description="How calls are computed together. Default: up to 8 rows, waiting up to 50ms.",
    )
    concurrency: Concurrency = Field(
        default=Concurrency(), description="How much may wait. Default: a queue of 512 rows in each pod."
    )
    scaling: Scaling = Field(
        default=Scaling(), description="How many pods. Default: from 0 to 1, 4 calls a pod."
    )
    precision: Precision = Field(
        default=Precision(), description="What the weights are kept as. Default: fp32, the model as it is."
    )
    compile: Compile = Field(
        default=Compile(), description="Whether the model's functions are compiled. Default: off."
    )
    kvCache: KvCache | None = Field(
        default=None,
        description="With model.runtime text: how keys and values are kept. Default: as the model computes them.",
    )
    attention: Attention | None = Field(
        default=None,
        description="With model.runtime text: how attention is computed. Default: by length and device.",
    )
    quality: Quality = Field(
        default=Quality(),
        description="How far a cheaper variant may be from the fp32 eager baseline before it is refused. Default: the limits of "
        "the profile default.",
    )
    cache: Cache = Field(
        default=Cache(),
        description="Where verdicts, compiled code and downloads outlive the process, mounted at /var/cache/atheria; one kind of "
        "volume at most. Default: none, a temporary folder of the pod.",
    )
    warmup: Warmup = Field(
        default=Warmup(), description="What is computed before a pod says ready. Default: the model's own."
    )
    rollout: Rollout = Field(
        default=Rollout(),
        description="How a changed spec takes over the calls. Default: side by side where there is room, else one after the other.",
    )
    podTemplate: PreservedObject = Field(
        default={},
        description="Merged over the pod template (metadata, spec); containers, volumes and variables merge by name. "
        "The serving container is named model. Default: empty.",
    )
    replicas: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Pods asked for, behind the scale subresource; written by the gateway (0 to 1) and by the autoscaler, or by "
        "whom scaling.class names. Default: 0. From 0 to 1000.",
    )
