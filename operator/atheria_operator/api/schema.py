"""CRDs from the types in `api.types`; called by tools/generate_crds.py and checked for drift by a contract test.

A structural schema has no `$ref`, no `anyOf` and no titles, and a default at every object whose fields all have one,
because the API server fills a nested default only into an object that is there.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from atheria_contract import names
from atheria_operator.api.familiar import FIELDS, FamiliarField, field_message
from atheria_operator.api.types import (
    MAX_NAME_LENGTH,
    AtheriaModelSpec,
    AtheriaModelStatus,
    HardwareProfileSpec,
)
from atheria_operator.api.types.serving import AUTO_PROFILE

_KEPT: Final = frozenset(
    {
        "type",
        "format",
        "description",
        "default",
        "enum",
        "pattern",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "required",
    }
)


def structural_schema(kind: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI v3 structural schema of a type: no references, no unions, only keys that the API server takes."""
    document = kind.model_json_schema(by_alias=True)
    return _convert(document, document.get("$defs", {}))


def build_model_crd() -> dict[str, Any]:
    """CustomResourceDefinition of AtheriaModel."""
    spec = structural_schema(AtheriaModelSpec)
    spec["description"] = "What the user wants: the model, its hardware, batching and scaling. Required."
    for field in FIELDS:
        _refuse_familiar(spec, field)
    status = structural_schema(AtheriaModelStatus)
    status["description"] = "What is; written by the operator."
    validations = [
        {
            "rule": "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') "
            f"&& self.metadata.name.size() <= {MAX_NAME_LENGTH}",
            "message": f"metadata.name must be a DNS label that starts with a letter, of at most {MAX_NAME_LENGTH} characters",
        }
    ]
    columns = [
        _column(
            "Ready", "string", '.status.conditions[?(@.type=="Ready")].status', "Whether calls are answered"
        ),
        _column("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', "Why, in one word"),
        _column("Revision", "string", ".status.activeRevision", "Deployment that takes the calls"),
        _column("Replicas", "integer", ".status.readyReplicas", "Pods that answer calls"),
        _column("Queue", "integer", ".status.queue", "Calls held or in flight"),
        _column(
            "Cost/1k", "number", ".status.cost.reservedPer1000", "USD for 1000 calls, idle time included"
        ),
        _column("URL", "string", ".status.url", "gRPC address inside the cluster"),
        _column("Age", "date", ".metadata.creationTimestamp", "Since when it exists"),
    ]
    return _crd(
        kind=names.MODEL_KIND,
        plural=names.MODEL_PLURAL,
        short="am",
        scope="Namespaced",
        description="A PyTorch model that is served batched and warm, at zero pods when nobody calls.",
        properties={"spec": spec, "status": status},
        validations=validations,
        columns=columns,
        subresources={
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
    )


def build_profile_crd() -> dict[str, Any]:
    """CustomResourceDefinition of AtheriaHardwareProfile."""
    spec = structural_schema(HardwareProfileSpec)
    spec["description"] = "What a kind of machine needs in a pod, and what it costs. Required."
    return _crd(
        kind=names.PROFILE_KIND,
        plural=names.PROFILE_PLURAL,
        short="ahp",
        scope="Cluster",
        description="A kind of machine that models can ask for by name, or that is chosen for them by profile auto.",
        properties={"spec": spec},
        validations=[
            {
                "rule": f"self.metadata.name != '{AUTO_PROFILE}'",
                "message": f"metadata.name must not be {AUTO_PROFILE}: in spec.hardware.profile of a model it means the cheapest "
                "profile that fits; use another name",
            }
        ],
        columns=[
            _column("Resource", "string", ".spec.resourceName", "Extended resource of one device"),
            _column("GiB", "integer", ".spec.memoryGiB", "Memory of one device"),
            _column("USD/h", "string", ".spec.price.usdPerHour", "Price of one device"),
            _column("Spot", "boolean", ".spec.spot", "Whether its nodes may be taken away"),
            _column("Age", "date", ".metadata.creationTimestamp", "Since when it exists"),
        ],
        subresources=None,
    )


def _refuse_familiar(spec: dict[str, Any], field: FamiliarField) -> None:
    """Declare a field of another system, so that the API server can name the right one instead of `unknown field`."""
    *parents, name = field.path.split(".")
    node = spec
    for parent in parents:
        node = node["properties"][parent]
    # Any number and any text will do: a wrong type would be told instead of the right field.
    kinds: dict[str, dict[str, Any]] = {
        "object": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "array": {
            "type": "array",
            "x-kubernetes-list-type": "atomic",
            "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
        "scalar": {"x-kubernetes-int-or-string": True},
    }
    declared = {
        **kinds[field.kind],
        "description": f"{field_message(field)}. Default: refused when given.",
    }
    node["properties"][name] = declared
    rule = {"rule": f"!has(self.{name})", "message": field_message(field), "fieldPath": f".{name}"}
    node.setdefault("x-kubernetes-validations", []).append(rule)


def _crd(
    *,
    kind: str,
    plural: str,
    short: str,
    scope: str,
    description: str,
    properties: dict[str, Any],
    validations: list[dict[str, Any]],
    columns: list[dict[str, Any]],
    subresources: dict[str, Any] | None,
) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "description": description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "Version of this API: atheria.dev/v1alpha1."},
            "kind": {"type": "string", "description": f"Always {kind}."},
            "metadata": {"type": "object"},
            **properties,
        },
    }
    if validations:
        schema["x-kubernetes-validations"] = validations
    version: dict[str, Any] = {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": columns,
    }
    if subresources is not None:
        version["subresources"] = subresources
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{names.GROUP}", "labels": {names.LABEL_PART_OF: "atheria"}},
        "spec": {
            "group": names.GROUP,
            "scope": scope,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": ["atheria"],
            },
            "versions": [version],
        },
    }


def _column(name: str, kind: str, path: str, description: str, *, priority: int = 0) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return {**column, "priority": priority} if priority else column


def _convert(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if reference := node.get("$ref"):
        merged = {
            **definitions[reference.rsplit("/", 1)[-1]],
            **{k: v for k, v in node.items() if k != "$ref"},
        }
        return _convert(merged, definitions)
    if options := node.get("anyOf"):
        only = next(option for option in options if option.get("type") != "null")
        rest = {k: v for k, v in node.items() if k not in {"anyOf", "default"}}
        return _convert({**only, **rest}, definitions)
    result = {k: v for k, v in node.items() if k in _KEPT or k.startswith("x-kubernetes-")}
    if "const" in node:
        result["enum"] = [node["const"]]
    if properties := node.get("properties"):
        result["properties"] = {key: _convert(value, definitions) for key, value in properties.items()}
        if "default" in result:
            # Written out: the API server checks CEL rules of a default before it fills nested defaults in.
            result["default"] = {k: v["default"] for k, v in result["properties"].items() if "default" in v}
    if items := node.get("items"):
        result["items"] = _convert(items, definitions)
        if text := node.get("x-item-description"):
            result["items"]["description"] = text
    extra = node.get("additionalProperties")
    if isinstance(extra, dict):
        result["additionalProperties"] = _convert(extra, definitions)
    elif extra is True and "x-kubernetes-preserve-unknown-fields" not in result:
        result["x-kubernetes-preserve-unknown-fields"] = True
    if result.get("type") == "object" and "maxLength" in result:
        result["maxProperties"] = result.pop("maxLength")
    if result.get("type") == "integer" and "format" not in result:
        result["format"] = "int64" if result.get("maximum", 2**31) >= 2**31 else "int32"
    return result
