"""The spec of an AtheriaHardwareProfile."""

# ruff: noqa: N815 - fields are spelt as in the API.

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field

from atheria_operator.api.types.fields import Part, PreservedObject, refusal

_RESOURCE_NAME: Final = r"^$|^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
_QUANTITY: Final = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?$"
Quantity = Annotated[Any, Field(json_schema_extra={"x-kubernetes-int-or-string": True, "pattern": _QUANTITY})]
Amounts = Annotated[dict[str, Quantity], Field(max_length=16)]


class Price(Part):
    """What one device of this kind costs."""

    usdPerHour: str = Field(
        pattern=r"^[0-9]+(\.[0-9]+)?$",
        max_length=16,
        description="Price of one device in USD per hour, a decimal number as a string. Required.",
    )
    source: str = Field(
        default="", max_length=512, description="Where the price comes from. Default: empty, meaning unknown."
    )
    date: str = Field(
        default="", max_length=32, description="When the price was read, e.g. 2026-11. Default: empty."
    )


class Resources(Part):
    """CPU, memory and the like of the serving container."""

    requests: Amounts = Field(
        default={},
        description="What is set aside on the node by name, e.g. cpu: 500m or memory: 2Gi. Default: none. At most 16.",
    )
    limits: Amounts = Field(
        default={},
        description="Most that the container may use by name, e.g. memory: 16Gi; for profiles without a device this is the memory "
        "that a model has to fit in. Default: none. At most 16.",
    )


class NodeAlternative(Part):
    """Labels of one way in which a cloud marks such nodes."""

    labels: dict[
        str,
        Annotated[
            list[Annotated[str, Field(max_length=63)]],
            Field(min_length=1, max_length=32),
        ],
    ] = Field(
        min_length=1,
        max_length=8,
        description="Values by label, e.g. nvidia.com/gpu.product: [NVIDIA-L4]; a node needs one of the values of every label. "
        "Required. From 1 to 8 labels, of 1 to 32 values each.",
    )


class HardwareProfileSpec(Part):
    """What a kind of machine needs in a pod."""

    model_config = ConfigDict(
        json_schema_extra=refusal(
            "[self.resources.requests, self.resources.limits].all(amounts, amounts.all(name, "
            "name != self.resourceName && !name.startsWith('nvidia.com/')))",
            "resources must not name a device: give it as resourceName, either whole GPUs (nvidia.com/gpu) or one kind of MIG "
            "slice (nvidia.com/mig-1g.10gb), never both",
        )
    )

    description: str = Field(
        default="",
        max_length=512,
        description="What it is, for people, in at most 512 characters. Default: empty.",
    )
    resourceName: str = Field(
        default="",
        max_length=253,
        pattern=_RESOURCE_NAME,
        description="Extended resource of one device: nvidia.com/gpu for whole GPUs, or one kind of MIG slice such as "
        "nvidia.com/mig-1g.10gb. Default: empty, meaning no device.",
    )
    resourcesPerUnit: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Units of resourceName per spec.hardware.count. Default: 1. From 1 to 1024.",
    )
    memoryGiB: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="Memory of one device (of one slice, with MIG) in GiB, which a model has to fit in. Default: 0, meaning unknown. "
        "From 0 to 100000.",
    )
    resources: Resources = Field(
        default=Resources(),
        description="Requests and limits of the serving container besides resourceName. Default: none.",
    )
    nodeSelector: dict[str, str] = Field(
        default={}, max_length=32, description="Labels that a node must have. Default: none. At most 32."
    )
    nodeAlternatives: list[NodeAlternative] = Field(
        default=[],
        max_length=16,
        description="Ways in which clouds and drivers mark such nodes; a node needs to match any one of them. Default: none, any "
        "node. At most 16.",
        json_schema_extra={
            "x-kubernetes-list-type": "atomic",
            "x-item-description": "One way: labels that a node must all have.",
        },
    )
    nodeAffinity: PreservedObject = Field(
        default={},
        description="Node affinity of the pods beside nodeAlternatives, as in a pod's spec.affinity.nodeAffinity; required terms "
        "are for profiles without nodeAlternatives. Default: none.",
    )
    spot: bool = Field(
        default=False,
        description="Whether pods go to spot (preemptible) nodes of GKE, EKS, Karpenter and AKS, and only there, and tolerate their "
        "taints. Chosen by profile auto only with spec.hardware.allowSpot. Default: false.",
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
        description="Taints that the pods tolerate, as in a pod's spec.tolerations. Default: none. At most 64.",
        json_schema_extra={
            "x-kubernetes-list-type": "atomic",
            "x-item-description": "One toleration: key, operator, value, effect.",
        },
    )
    image: str = Field(
        default="",
        max_length=512,
        description="Image of the server on this hardware. Default: empty, the operator's own choice.",
    )
    price: Price | None = Field(default=None, description="What one device costs. Default: unknown.")
