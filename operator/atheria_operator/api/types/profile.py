"""The spec of an AtheriaHardwareProfile."""

# ruff: noqa: N815 - fields are spelt as in the API.

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from atheria_operator.api.types.fields import Part, PreservedObject


class Price(Part):
    """What one node of this kind costs."""

    usdPerHour: str = Field(
        pattern=r"^[0-9]+(\.[0-9]+)?$",
        description="Price of one device in USD per hour, a decimal number as a string. Required.",
    )
    source: str = Field(
        default="", max_length=512, description="Where the price comes from. Default: empty, meaning unknown."
    )
    date: str = Field(
        default="", max_length=32, description="When the price was read, e.g. 2026-11. Default: empty."
    )


class HardwareProfileSpec(Part):
    """What a kind of machine needs in a pod."""

    description: str = Field(
        default="", max_length=512, description="What it is, for people. Default: empty."
    )
    resourceName: str = Field(
        default="",
        max_length=253,
        description="Extended resource of one device, e.g. nvidia.com/gpu. Default: empty, meaning no device.",
    )
    resourcesPerUnit: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Units of resourceName per spec.hardware.count. Default: 1. From 1 to 1024.",
    )
    memoryGiB: int = Field(
        default=0, ge=0, le=100_000, description="Memory of one device in GiB. Default: 0, meaning unknown."
    )
    resources: PreservedObject = Field(
        default={},
        description="Requests and limits of the serving container besides resourceName. Default: none.",
    )
    nodeSelector: dict[str, str] = Field(
        default={}, description="Labels that a node must have. Default: none."
    )
    nodeAffinity: PreservedObject = Field(
        default={},
        description="Node affinity of the pods, as in a pod's spec.affinity.nodeAffinity. Default: none.",
    )
    tolerations: list[
        Annotated[
            dict[str, Any],
            Field(
                json_schema_extra={"x-kubernetes-preserve-unknown-fields": True, "additionalProperties": None}
            ),
        ]
    ] = Field(
        default=[],
        max_length=64,
        description="Taints that the pods tolerate, as in a pod's spec.tolerations. Default: none.",
        json_schema_extra={"x-item-description": "One toleration: key, operator, value, effect."},
    )
    image: str = Field(
        default="",
        max_length=512,
        description="Image of the server on this hardware. Default: empty, the operator's own choice.",
    )
    price: Price | None = Field(default=None, description="What one device costs. Default: unknown.")
