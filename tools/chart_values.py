"""What may stand in the chart's values: types, bounds and words. `tools.generate_values` makes values.schema.json of it.

Defaults and descriptions are in charts/atheria/values.yaml, which people read; tests/contract/test_chart_values.py holds the two
together. A `Section` is a part of that file; an `Entry` is one item of a list there, with keys that must be given.
"""

# ruff: noqa: N815 - keys are spelt as in values.yaml.

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

PROFILES: Final = ("cpu", "nvidia-l4", "nvidia-l40s", "nvidia-a100-40gb", "nvidia-a100-80gb", "nvidia-h100", "nvidia-h200")  # fmt: skip
"""Those of charts/atheria/files/profiles."""
ProfileName = Literal["cpu", "nvidia-l4", "nvidia-l40s", "nvidia-a100-40gb", "nvidia-a100-80gb", "nvidia-h100", "nvidia-h200"]  # fmt: skip
AlertName = Literal[
    "AtheriaCallsRefused",
    "AtheriaCertificateNearExpiry",
    "AtheriaColdStartOverBudget",
    "AtheriaCostOverBudget",
    "AtheriaGatewayHoldsTooLong",
    "AtheriaNoGpu",
    "AtheriaOperatorAbsent",
    "AtheriaOperatorStuck",
    "AtheriaQualityGateFailing",
    "AtheriaQueueSaturated",
    "AtheriaRecompilationInService",
    "AtheriaRolloutStuck",
]
Texts = dict[str, str]
Object = dict[str, Any]
Namespace = Annotated[str, Field(pattern="^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Line = Annotated[str, Field(min_length=1, pattern=r"^[^\n]+$")]
PoolName = Annotated[str, Field(max_length=30, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
Digest = Annotated[str, Field(pattern="^(sha256:[0-9a-f]{64})?$")]
NodePort = Annotated[int, Field(ge=0, le=65535)]


class Section(BaseModel):
    """A part of values.yaml, where every key has its default."""

    model_config = ConfigDict(extra="forbid")


class Entry(BaseModel):
    """An item of a list; keys without a default must be given."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"x-entry": True})


class PullSecret(Entry):
    """One Secret."""

    name: Annotated[str, Field(min_length=1, description="Name of the Secret.")]


class Image(Section):
    """Of all images."""

    registry: Annotated[str, Field(pattern="^([^/].*[^/])?$")]
    tag: str
    pullPolicy: Literal["Always", "IfNotPresent", "Never"]
    pullSecrets: list[PullSecret]


class Crds(Section):
    """The definitions."""

    enabled: bool
    keep: bool


class Rbac(Section):
    """Rights."""

    create: bool


class OwnImage(Section):
    """Of one program."""

    repository: Annotated[str, Field(min_length=1)]
    tag: str
    digest: Digest


class ServiceAccount(Section):
    """Of one program."""

    annotations: Texts


class Resources(Section):
    """As in a container."""

    requests: Object
    limits: Object
    claims: list[Object] = []


class Placement(Section):
    """Where pods run."""

    nodeSelector: Texts
    tolerations: list[Object]
    affinity: Object
    priorityClassName: str


class Switch(Section):
    """On or off."""

    enabled: bool


class Operator(Placement):
    """The operator."""

    namespaces: Annotated[list[Namespace], Field(json_schema_extra={"uniqueItems": True})]
    upgradesAtOnce: Annotated[int, Field(ge=1, le=1000)]
    externalScaler: Switch
    externalMetrics: Switch
    image: OwnImage
    serviceAccount: ServiceAccount
    extraEnv: list[Object]
    resources: Resources


class NodePorts(Section):
    """Of the gateway's Service."""

    grpc: NodePort
    http: NodePort


class Service(Section):
    """The gateway's Service."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"]
    annotations: Texts
    nodePorts: NodePorts


class Autoscaling(Section):
    """The gateway's HorizontalPodAutoscaler."""

    enabled: bool
    minReplicas: Annotated[int, Field(ge=1, le=100)]
    maxReplicas: Annotated[int, Field(ge=1, le=1000)]
    targetCpuPercent: Annotated[int, Field(ge=1, le=100)]


class Hold(Section):
    """Held calls."""

    maxCalls: Annotated[int, Field(ge=1, le=1_000_000)]
    maxBytes: Annotated[int, Field(json_schema_extra={"anyOf": [{"const": 0}, {"minimum": 1_048_576}]})]
    callerShare: Annotated[float, Field(ge=0.01, le=1)]
    seconds: Annotated[int, Field(ge=1, le=3500)]


class GatewayTls(Section):
    """TLS of the gateway's ports."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {
                "properties": {"clientCaSecretName": {"minLength": 1}},
                "required": ["clientCaSecretName"],
            },
            "then": {"properties": {"secretName": {"minLength": 1}}, "required": ["secretName"]},
        }
    )

    secretName: str
    clientCaSecretName: str


class ApiKeys(Section):
    """Keys of callers."""

    secretName: str
    forward: bool


class Cors(Section):
    """Pages that may call."""

    allowedOrigins: list[Annotated[str, Field(pattern=r"^(\*|https?://[^ ,/]+)$")]]


class Sized(Section):
    """A container."""

    resources: Resources


class Gateway(Placement):
    """The gateway."""

    replicas: Annotated[int, Field(ge=1, le=100)]
    autoscaling: Autoscaling
    image: OwnImage
    serviceAccount: ServiceAccount
    service: Service
    terminationDelaySeconds: Annotated[int, Field(ge=1, le=600)]
    drainSeconds: Annotated[int, Field(ge=1, le=3600)]
    hold: Hold
    tls: GatewayTls
    apiKeys: ApiKeys
    cors: Cors
    livePage: Switch
    accessLog: Literal["all", "problems", "off"]
    extraEnv: list[Object]
    envoy: Sized
    activator: Sized
    topologySpreadConstraints: list[Object]
    podDisruptionBudget: Switch


class Server(Section):
    """The model server."""

    image: OwnImage


class Standby(Section):
    """Models that sleep at zero."""

    secretName: str


class IssuerRef(Section):
    """cert-manager's issuer."""

    name: Annotated[str, Field(max_length=253, pattern="^([a-z0-9]([-.a-z0-9]*[a-z0-9])?)?$")]
    kind: Annotated[str, Field(min_length=1)]
    group: Annotated[str, Field(min_length=1)]


class CertificatePolicy(Section):
    """What others may ask the issuer for."""

    enabled: bool
    requester: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9:._@/-]*$")]


class CertManager(Section):
    """Certificates by cert-manager."""

    issuerRef: IssuerRef
    policy: CertificatePolicy


class PodTls(Section):
    """Calls to model pods."""

    mode: Literal["plain", "internal", "cert-manager"]
    models: bool
    certManager: CertManager


class Tracing(Section):
    """Spans of calls."""

    endpoint: Annotated[
        str, Field(pattern=r"^(https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?:[0-9]{1,5})?$")
    ]
    protocol: Literal["grpc", "http/protobuf"]
    samplingRatio: Annotated[float, Field(ge=0, le=1)]
    models: bool
    secretName: str


class Dashboards(Section):
    """Grafana's dashboards."""

    enabled: bool
    label: Annotated[str, Field(min_length=1)]
    labelValue: Annotated[str, Field(pattern="^[A-Za-z0-9._-]{0,63}$")]
    folderAnnotation: Annotated[str, Field(min_length=1)]
    folder: str


class Monitoring(Section):
    """PodMonitors or ServiceMonitors."""

    enabled: bool
    kind: Literal["PodMonitor", "ServiceMonitor"]
    interval: Annotated[str, Field(pattern="^[0-9]+(ms|s|m|h)$")]
    labels: Texts


class Budgets(Section):
    """What is too long or too dear; 0 = no budget."""

    queueFillRatio: Annotated[float, Field(ge=0, le=1)]
    coldStartSeconds: Annotated[float, Field(ge=0)]
    holdSeconds: Annotated[float, Field(ge=0)]
    modelUsdPerDay: Annotated[float, Field(ge=0)]
    totalUsdPerDay: Annotated[float, Field(ge=0)]
    certificateDays: Annotated[float, Field(ge=0, le=365)]


class Alerts(Section):
    """The PrometheusRule."""

    enabled: bool
    labels: Texts
    runbookUrl: Annotated[str, Field(pattern="^(https?://.+/)?$")]
    disabled: list[AlertName]
    budgets: Budgets


class NetworkPolicy(Section):
    """Who may reach whom."""

    enabled: bool
    modelNamespaces: Annotated[list[Namespace], Field(json_schema_extra={"uniqueItems": True})]
    scrapers: list[Object]
    callers: list[Object]
    dnsPorts: Annotated[list[Annotated[int, Field(ge=1, le=65535)]], Field(min_length=1)]
    apiServerPorts: Annotated[list[Annotated[int, Field(ge=1, le=65535)]], Field(min_length=1)]
    modelEgress: list[Object]


class HardwareProfiles(Section):
    """The shipped profiles."""

    enabled: bool
    names: Annotated[list[ProfileName], Field(json_schema_extra={"uniqueItems": True})]
    overrides: dict[ProfileName, Object]


class Rule(Entry):
    """What models of some namespaces may use."""

    name: PoolName
    namespaceSelector: Object = {}
    sources: list[Line] = []
    registries: list[Line] = []
    profiles: list[Line] = []
    podTemplate: Literal["Allowed", "Forbidden"] = "Allowed"
    action: Literal["Deny", "Warn", "Audit"] = "Deny"


class AdmissionPolicies(Section):
    """What the API server refuses."""

    refuseForeignAnnotations: bool
    rules: list[Rule]


class Pool(Entry):
    """Nodes."""

    name: PoolName
    profile: str = ""
    nodeSelector: Texts = {}
    affinity: Object = {}
    tolerations: list[Object] = []


class PrePullPool(Pool):
    """Nodes that hold images."""

    images: list[Line] = []


class PlaceholderPool(Pool):
    """Nodes that are kept spare."""

    replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    resources: Object = {}


class ImagePrePull(Section):
    """Images that are there before a model needs them."""

    pools: list[PrePullPool]


class Placeholders(Section):
    """Spare nodes."""

    pools: list[PlaceholderPool]


class Uninstall(Section):
    """The hook before `helm uninstall`."""

    enabled: bool
    timeoutSeconds: Annotated[int, Field(ge=30, le=3600)]


class Values(Section):
    """Values of the Atheria chart."""

    fullnameOverride: Annotated[str, Field(max_length=50, pattern="^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$")]
    image: Image
    crds: Crds
    rbac: Rbac
    operator: Operator
    gateway: Gateway
    server: Server
    standby: Standby
    podTls: PodTls
    tracing: Tracing
    logFormat: Literal["text", "json"]
    dashboards: Dashboards
    monitoring: Monitoring
    alerts: Alerts
    networkPolicy: NetworkPolicy
    hardwareProfiles: HardwareProfiles
    admissionPolicies: AdmissionPolicies
    imagePrePull: ImagePrePull
    placeholders: Placeholders
    uninstall: Uninstall
