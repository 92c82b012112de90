"""Names that more than one part of Atheria must spell the same way.

Labels, annotations, ports, headers, environment keys, file paths and metric names live here and nowhere else,
so that the operator, the server, the gateway, the chart's contract tests and the dashboards cannot drift apart.
Everything in this module is a constant or a pure function of strings.
"""

from __future__ import annotations

from typing import Final

GROUP: Final = "atheria.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
MODEL_KIND: Final = "AtheriaModel"
MODEL_PLURAL: Final = "atheriamodels"
PROFILE_KIND: Final = "AtheriaHardwareProfile"
PROFILE_PLURAL: Final = "atheriahardwareprofiles"
FINALIZER: Final = f"{GROUP}/operator"

LABEL_MODEL: Final = f"{GROUP}/model"
"""Name of the AtheriaModel that an object belongs to (Deployments, Services, EndpointSlices, pods)."""
LABEL_REVISION: Final = f"{GROUP}/revision"
"""Hash of the rendered intent; equal to the suffix of the Deployment's name."""
LABEL_ROLE: Final = f"{GROUP}/role"
"""What a Service or EndpointSlice is for: ROLE_PODS or ROLE_GATEWAY."""
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_NAME: Final = "app.kubernetes.io/name"
LABEL_COMPONENT: Final = "app.kubernetes.io/component"
LABEL_PART_OF: Final = "app.kubernetes.io/part-of"
MANAGED_BY: Final = "atheria-operator"
ROLE_PODS: Final = "pods"
"""Headless Service `<model>-<hash>` with a selector; its EndpointSlices are the model's pods."""
ROLE_GATEWAY: Final = "gateway"
"""Selectorless Service `<model>`; its EndpointSlice holds the addresses of the gateway's pods."""
ANNOTATION_INTENT: Final = f"{GROUP}/intent"
"""Hash of the desired object, used to skip applies that would change nothing."""
ANNOTATION_ROLLOUT: Final = f"{GROUP}/rollout"
"""On an AtheriaModel, by a person: paused (while it is there), promote or rollback (once each)."""
ANNOTATION_UPGRADE: Final = f"{GROUP}/upgrade"
"""On an AtheriaModel, by a person: `now` lets its pods follow the operator's default server image."""
UPGRADE_NOW: Final = "now"
ANNOTATION_SERVER_IMAGE: Final = f"{GROUP}/server-image"
"""On a revision's Deployment: the operator's default server image with which it was rendered."""

LEASE_OPERATOR: Final = "atheria-operator"
"""Lease in the operator's namespace: its holder writes, others wait."""

FIELD_MANAGER_OPERATOR: Final = "atheria-operator"
FIELD_MANAGER_AUTOSCALER: Final = "atheria-autoscaler"
FIELD_MANAGER_STATUS: Final = "atheria-status"
FIELD_MANAGER_GATEWAY: Final = "atheria-gateway"

PORT_GRPC: Final = 8001
PORT_HTTP: Final = 8000
PORT_NAME_GRPC: Final = "grpc"
PORT_NAME_HTTP: Final = "http"
PORT_GATEWAY_HEALTH: Final = 8003
"""Gateway with TLS: /healthz in plain text, for probes."""
PORT_DEMAND: Final = 8002
"""Operator: gRPC sink of the gateways' demand reports (control.proto)."""
PORT_METRICS: Final = 9090
"""Operator and activator: Prometheus text format at /metrics, and /healthz beside it."""

HEADER_MODEL: Final = "atheria-model"
"""Request header `namespace/name` that picks a model at the gateway."""
HEADER_REFUSED: Final = "atheria-refused"
"""On a server's refusal of a call that it has not begun (value REFUSED_DRAINING): the gateway sends the call elsewhere.

For gRPC it is metadata of an answer without messages (trailers only), for REST a header of the 503.
"""
REFUSED_DRAINING: Final = "draining"

HEADER_REVISION: Final = "atheria-revision"
"""On an answer through the gateway: name of the revision whose pod gave it."""
HEADER_HELD: Final = "atheria-held-seconds"
"""On an answer through the gateway: how long the call was held, absent when it was not."""

CONTAINER_MODEL: Final = "model"
CONFIG_DIRECTORY: Final = "/etc/atheria"
CONFIG_FILE: Final = "model.json"
CACHE_DIRECTORY: Final = "/var/cache/atheria"
"""In a model's pod: the volume of spec.cache, for verdicts, compiled code and downloads."""
CACHE_KEY_DIRECTORY: Final = "/var/run/secrets/atheria.dev/cache"
"""In a model's pod: the Secret spec.cache.signingSecretName, one file per key, read-only."""
MODELS_DIRECTORY: Final = "/mnt/models"
"""In a model's pod, read-only: `pvc://CLAIM/PATH` is MODELS_DIRECTORY/CLAIM/PATH."""
MODEL_IMAGE_DIRECTORY: Final = "/mnt/model-image"
"""In a model's pod, read-only: `oci://IMAGE#PATH` is MODEL_IMAGE_DIRECTORY/PATH."""
PATH_READY: Final = "/v2/health/ready"
"""HTTP, GET, without a key: 200, or 503 with JSON `{"ready": false, "reason": …}` that says how far a start is."""
PATH_OPTIMIZATION: Final = "/v2/health/optimization"
"""HTTP, GET, without a key: what a server did to its model before it was ready, as JSON."""

ENV_SERVER_IMAGE: Final = "ATHERIA_SERVER_IMAGE"
ENV_DEMAND_TARGET: Final = "ATHERIA_DEMAND_TARGET"
ENV_POD_NAME: Final = "POD_NAME"
ENV_POD_NAMESPACE: Final = "POD_NAMESPACE"
ENV_POD_IP: Final = "POD_IP"

METRIC_REQUESTS: Final = "atheria_requests_total"
METRIC_REQUEST_SECONDS: Final = "atheria_request_duration_seconds"
METRIC_QUEUE_DEPTH: Final = "atheria_queue_depth"
METRIC_QUEUE_WAIT_SECONDS: Final = "atheria_queue_wait_seconds"
METRIC_IN_FLIGHT: Final = "atheria_requests_in_flight"
METRIC_BATCH_SIZE: Final = "atheria_batch_size"
METRIC_INFERENCE_SECONDS: Final = "atheria_inference_duration_seconds"
METRIC_MODEL_LOAD_SECONDS: Final = "atheria_model_load_seconds"
METRIC_MODEL_WARMUP_SECONDS: Final = "atheria_model_warmup_seconds"
METRIC_READY: Final = "atheria_model_ready"
METRIC_BUILD_INFO: Final = "atheria_build_info"
METRIC_GATEWAY_HELD: Final = "atheria_gateway_held_requests"
METRIC_GATEWAY_HELD_BYTES: Final = "atheria_gateway_held_bytes"
METRIC_GATEWAY_REQUESTS: Final = "atheria_gateway_requests_total"
METRIC_GATEWAY_HOLD_SECONDS: Final = "atheria_gateway_hold_seconds"
METRIC_GATEWAY_WAKES: Final = "atheria_gateway_wakes_total"
METRIC_RECONCILE_SECONDS: Final = "atheria_operator_reconcile_duration_seconds"
METRIC_RECONCILE_ERRORS: Final = "atheria_operator_reconcile_errors_total"
METRIC_RECONCILE_ROUNDS: Final = "atheria_operator_reconcile_total"
METRIC_HEARTBEAT_AGE: Final = "atheria_operator_heartbeat_age_seconds"
METRIC_WAKEUPS: Final = "atheria_operator_wakeups_total"
METRIC_API_REQUESTS: Final = "atheria_operator_api_requests_total"
METRIC_LEADER: Final = "atheria_operator_leader"
METRIC_START_PHASE_SECONDS: Final = "atheria_model_start_phase_seconds"
METRIC_DESIRED_REPLICAS: Final = "atheria_model_desired_replicas"
METRIC_READY_REPLICAS: Final = "atheria_model_ready_replicas"
METRIC_SCALE_EVENTS: Final = "atheria_scale_events_total"
METRIC_STAGE_SECONDS: Final = "atheria_stage_duration_seconds"
METRIC_REJECTED: Final = "atheria_rejected_requests_total"
METRIC_CANCELLED: Final = "atheria_cancelled_requests_total"
METRIC_EXPIRED: Final = "atheria_expired_requests_total"
METRIC_WORKER_RESTARTS: Final = "atheria_worker_restarts_total"
METRIC_FRAMES_DROPPED: Final = "atheria_stream_frames_dropped_total"
METRIC_CERTIFICATE_EXPIRY: Final = "atheria_certificate_expiry_timestamp_seconds"
METRIC_BUCKET_BATCHES: Final = "atheria_bucket_batches_total"
METRIC_BUCKET_ROWS: Final = "atheria_bucket_rows_total"
METRIC_SEQUENCE_POSITIONS: Final = "atheria_sequence_positions_total"
METRIC_PADDING_POSITIONS: Final = "atheria_padding_positions_total"
METRIC_CACHE_HITS: Final = "atheria_decode_cache_hits_total"
METRIC_CACHE_MISSES: Final = "atheria_decode_cache_misses_total"
METRIC_COPIED_BYTES: Final = "atheria_shared_memory_bytes_total"
METRIC_BUFFERS_MADE: Final = "atheria_shared_buffers_made_total"
METRIC_BUFFERS_LENT: Final = "atheria_shared_buffers_lent_total"
METRIC_RETRIED: Final = "atheria_retried_requests_total"
METRIC_COMPILATIONS: Final = "atheria_compilations_total"
METRIC_EAGER_FALLBACKS: Final = "atheria_eager_fallbacks_total"
METRIC_COMPILE_SECONDS: Final = "atheria_model_compile_seconds"
METRIC_COMPILE_SAVED_SECONDS: Final = "atheria_model_compile_saved_seconds"
METRIC_COMPILE_CACHE: Final = "atheria_model_compile_cache"
METRIC_WEIGHT_BYTES: Final = "atheria_model_weight_bytes"
METRIC_QUALITY_ACCEPTED: Final = "atheria_model_quality_accepted"
METRIC_QUALITY_VALUE: Final = "atheria_model_quality_value"
METRIC_QUALITY_LIMIT: Final = "atheria_model_quality_limit"

BUILTIN_MODELS: Final = ("qca", "echo")
"""Names that `builtin://NAME` may have; the operator refuses others, the server has a model for each."""


def model_key(namespace: str, name: str) -> str:
    """The value of HEADER_MODEL, and the name of the model's Envoy cluster."""
    return f"{namespace}/{name}"
