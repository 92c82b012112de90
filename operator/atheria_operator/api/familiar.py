"""Names that users of KServe and Knative type by reflex, and the field of an AtheriaModel that means the same.

None is taken silently: a familiar field is refused by the API server (`api.schema` declares it only to say so), a familiar
annotation by the operator (`api.parse`) and, where the chart's admission policy is on, by the API server too.
docs/reference has this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from atheria_operator.api.model import Problem

FOREIGN_ANNOTATION: Final = "ForeignAnnotation"


@dataclass(frozen=True, slots=True, kw_only=True)
class FamiliarField:
    """A field that other systems have."""

    path: str
    """Below spec, e.g. scaling.minScale."""
    kind: str
    """What it is there: object, array or scalar."""
    instead: str
    """What to write here, as the end of `Atheria does not have it: ...`."""


def _field(path: str, kind: str, instead: str) -> FamiliarField:
    return FamiliarField(path=path, kind=kind, instead=instead)


FIELDS: Final = (
    _field("predictor", "object", "set spec.model.source, spec.hardware.profile and spec.scaling"),
    _field("template", "object", "set spec.model.source, and spec.podTemplate for the pod"),
    _field("storageUri", "scalar", "set spec.model.source"),
    _field(
        "modelFormat",
        "object",
        "set spec.model.source; python://package.module:LitAPIClass serves any format",
    ),
    _field(
        "runtime", "scalar", "set spec.model.source, or for a server of your own spec.model.runtime: custom"
    ),
    _field("protocolVersion", "scalar", "leave it out, the Open Inference Protocol v2 is always served"),
    _field("minReplicas", "scalar", "set spec.scaling.minReplicas"),
    _field("maxReplicas", "scalar", "set spec.scaling.maxReplicas"),
    _field("scaleTarget", "scalar", "set spec.scaling.target"),
    _field("scaleMetric", "scalar", "set spec.scaling.metric"),
    _field("containerConcurrency", "scalar", "set spec.scaling.target and spec.batching.maxBatchSize"),
    _field("timeout", "scalar", "leave it out, a call lives as long as its caller's deadline"),
    _field("canaryTrafficPercent", "scalar", "set spec.rollout.strategy: canary and spec.rollout.steps"),
    _field("traffic", "array", "set spec.rollout.strategy: canary and spec.rollout.steps"),
    _field("deploymentStrategy", "object", "set spec.rollout.strategy"),
    _field("batcher", "object", "set spec.batching.maxBatchSize and spec.batching.maxLatency"),
    _field("resources", "object", "set spec.hardware.profile and spec.hardware.count"),
    _field("nodeSelector", "object", "set spec.hardware.profile, or spec.podTemplate.spec.nodeSelector"),
    _field("tolerations", "array", "set spec.hardware.profile, or spec.podTemplate.spec.tolerations"),
    _field("serviceAccountName", "scalar", "set spec.podTemplate.spec.serviceAccountName"),
    _field("env", "array", "set env of the container model in spec.podTemplate.spec.containers"),
    _field("scaling.minScale", "scalar", "set spec.scaling.minReplicas"),
    _field("scaling.maxScale", "scalar", "set spec.scaling.maxReplicas"),
    _field("model.storageUri", "scalar", "set spec.model.source"),
    _field(
        "model.modelFormat",
        "object",
        "leave it out, spec.model.source says it: python://package.module:Class",
    ),
    _field("model.runtimeVersion", "scalar", "set the image in spec.podTemplate or in the hardware profile"),
    _field("batching.timeout", "scalar", "set spec.batching.maxLatency"),
    _field("hardware.gpu", "scalar", "set spec.hardware.profile and spec.hardware.count"),
    _field("hardware.resources", "object", "set spec.hardware.profile and spec.hardware.count"),
)

_AUTOSCALING: Final = "autoscaling.knative.dev/"
_KSERVE: Final = "serving.kserve.io/"
ANNOTATIONS: Final[Mapping[str, str]] = {
    f"{_AUTOSCALING}min-scale": "set spec.scaling.minReplicas",
    f"{_AUTOSCALING}minScale": "set spec.scaling.minReplicas",
    f"{_AUTOSCALING}max-scale": "set spec.scaling.maxReplicas",
    f"{_AUTOSCALING}maxScale": "set spec.scaling.maxReplicas",
    f"{_AUTOSCALING}initial-scale": "set spec.scaling.initialReplicas",
    f"{_AUTOSCALING}target": "set spec.scaling.target",
    f"{_AUTOSCALING}metric": "set spec.scaling.metric",
    f"{_AUTOSCALING}class": "set spec.scaling.class",
    f"{_AUTOSCALING}scale-down-delay": "set spec.scaling.scaleDownDelay",
    f"{_AUTOSCALING}scale-to-zero-pod-retention-period": "set spec.scaling.idleTimeout",
    f"{_AUTOSCALING}window": "set spec.scaling.stableWindow",
    f"{_AUTOSCALING}panic-window-percentage": "set spec.scaling.panicWindowPercent",
    f"{_AUTOSCALING}panic-threshold-percentage": "set spec.scaling.panicThreshold, a hundredth of it",
    f"{_AUTOSCALING}target-utilization-percentage": "set spec.scaling.targetUtilization",
    f"{_KSERVE}autoscalerClass": "set spec.scaling.class",
    f"{_KSERVE}deploymentMode": "leave it out, there is one mode, which scales to zero",
    f"{_KSERVE}storage-initializer-uid": "set securityContext in spec.podTemplate.spec",
    f"{_KSERVE}enable-prometheus-scraping": "leave it out, every pod has /metrics on port 8000",
    f"{_KSERVE}stop": "leave it out, a model that nobody calls goes to zero and costs nothing",
}
FOREIGN_PREFIXES: Final = (_AUTOSCALING, "serving.knative.dev/", "networking.knative.dev/", _KSERVE)
"""Keys of these groups mean something there and nothing here."""
OTHER_ANNOTATION: Final = "remove it, nothing in Atheria obeys it"


def annotation_problem(annotations: Mapping[str, str]) -> Problem | None:
    """The first annotation by which somebody expects KServe's or Knative's behaviour, in alphabetical order."""
    for key, value in sorted(annotations.items()):
        if key.startswith(FOREIGN_PREFIXES):
            instead = ANNOTATIONS.get(key, OTHER_ANNOTATION)
            return Problem(
                reason=FOREIGN_ANNOTATION,
                message=f"metadata.annotations has {key}: {value!r}, which Atheria does not obey: {instead}"
                f"{'' if instead == OTHER_ANNOTATION else ', and remove the annotation'}",
            )
    return None


def field_message(field: FamiliarField) -> str:
    """What the API server says to whoever gives the field."""
    return f"AtheriaModel has no spec.{field.path}: {field.instead}"
