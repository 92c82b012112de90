"""What `/metrics` of each program says after one of everything has happened, for the tests of metrics, alerts and dashboards."""

from __future__ import annotations

import re

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest

from atheria_gateway.core.demand import Demand
from atheria_gateway.core.hold import Refusal
from atheria_gateway.core.model import ModelKey as GatewayModel
from atheria_gateway.runtime.measures import Measures
from atheria_operator.adapters.telemetry import PrometheusTelemetry
from atheria_operator.api.model import ModelKey as OperatorModel
from atheria_operator.domain.status.figures import ConditionFigure, StatusFigures
from atheria_server.core.unread_frames import UnreadFrames
from atheria_server.engine.buffers import Traffic
from atheria_server.engine.calls import plain_call
from atheria_server.metrics import ServerMetrics
from atheria_server.models.text.counts import TextCounts

_EVERY_FIGURE = StatusFigures(
    phase="Serving",
    conditions=(ConditionFigure(type="Ready", status="True", reason="Ready"),),
    weights_percent=(("m-a", 100),),
    cold_start_seconds=(("total", 3.0),),
    cold_start_at_seconds=1e9,
    pods=1,
    pod_usd_per_hour=1.0,
    pod_seconds=(("busy", 1.0),),
    usd_per_1000_calls=(("busy", 0.1),),
)

_EVERY_REPORT = {
    "weight_bytes": 1,
    "precision": {"policy": "bf16"},
    "compile": {"mode": "off", "seconds": 0, "cache": "off", "saved_seconds": 0},
    "quality": {"passed": True, "measurements": [{"name": "F_16", "value": 1.0, "limit": 0.9}]},
    "evaluation": {
        "combinedSpeedUp": 2.0,
        "combinedSavedBytes": 1,
        "combinedLoss": 0.0,
        "lossOf": "combined",
        "lossLimit": 0.02,
    },
    "kv_cache": {
        "precision": "int8",
        "agreement": 1.0,
        "least_agreement": 0.99,
        "divergence": 0.0,
        "most_divergence": 0.01,
        "stepped_back": False,
    },
}


def server() -> bytes:
    """Of a model's pod."""
    metrics = ServerMetrics(model="m", version="0")
    call = plain_call({'a"b\n\\': np.zeros(3, np.float32)}, {}, (), streaming=False)
    metrics.observe(depth=lambda: 1, in_flight=lambda: 2, ready=lambda: True)
    metrics.observe_certificate(lambda: 1e9)
    metrics.observe_fill(lambda: 0.5)
    metrics.observe_standby(lambda: True, lambda: 7)
    metrics.slept(7, 7)
    metrics.woke(0.1)
    metrics.decoded(0.1)
    metrics.batch_sent(1, [0.1], [call])
    metrics.batch_padded(8, used=5, rows=1)
    metrics.batch_computed(0.1, rows=1, calls=1, copy_seconds=0.01, device_seconds=0.01)
    metrics.encoded(0.1)
    metrics.call_ended("infer", "OK", 0.1)
    metrics.call_rejected("queue_full")
    metrics.call_retried()
    metrics.compiled(1)
    metrics.worker_restarted()
    metrics.frames_dropped(1)
    metrics.observe_traffic(lambda: Traffic(buffers_made=1, buffers_lent=2, written_bytes=3, read_bytes=4))
    metrics.observe_unread(UnreadFrames)
    metrics.text_reported(1, TextCounts(first_token_seconds=[0.1], token_seconds=[0.1]).report())
    metrics.model_prepared(_EVERY_REPORT)
    return metrics.exposition()[0]


def gateway() -> bytes:
    """Of an activator."""
    measures = Measures()
    model = GatewayModel(namespace="n", name="m")
    measures.arrived(model)
    measures.woken(model)
    measures.refused(model, Refusal.MODEL_FULL)
    measures.released(model, 0.1)
    measures.roused(model, 0.1)
    measures.certificate_expires(1e9)
    line = Demand(model=model, held=1, in_flight=2, arrivals_total=3, oldest_held_s=0.5)
    measures.seen((line,), held_bytes=4)
    return generate_latest(measures.registry)


def operator() -> bytes:
    """Of an operator that leads."""
    registry = CollectorRegistry()
    telemetry = PrometheusTelemetry(registry)
    model = OperatorModel(namespace="n", name="m")
    telemetry.reconciled(0.1, "Conflict")
    telemetry.replicas(model, desired=1, ready=0)
    telemetry.scaled(model, "Demand")
    telemetry.woken("reconcile")
    telemetry.called("PATCH", 200)
    telemetry.led(is_leader=True)
    telemetry.watch_certificates(lambda: 1e9)
    telemetry.started("Pulling", 3.0)
    telemetry.watch_heartbeat(lambda: 0.0)
    telemetry.reported(model, _EVERY_FIGURE)
    inputs = ("held", "inFlight", "arrivalsPerSecond", "burstPerSecond", "serviceSeconds", "ready", "starting", "unschedulable")  # fmt: skip
    telemetry.decided(model, dict.fromkeys(inputs, 1.0))
    telemetry.holds(model, "cpu", 1)
    return generate_latest(registry)


def series_names() -> frozenset[str]:
    """Names of all series that any program has, those of histograms with their endings."""
    text = b"".join((server(), gateway(), operator())).decode()
    return frozenset(re.findall(r"^([a-z0-9_]+)[ {]", text, flags=re.MULTILINE))
