"""What Prometheus' own `promtool check metrics` says about the metrics of the server, the operator and the gateway."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from atheria_gateway.core.demand import Demand
from atheria_gateway.core.model import ModelKey as GatewayModel
from atheria_gateway.runtime.measures import Measures
from atheria_local import promtool
from atheria_operator.adapters.telemetry import PrometheusTelemetry
from atheria_operator.api.model import ModelKey as OperatorModel
from atheria_server.engine.calls import plain_call
from atheria_server.metrics import ServerMetrics


def lint(text: bytes) -> str:
    """All that promtool objects to; skips the test, with the reason, where there is no promtool."""
    program = promtool.find()
    if not program:
        pytest.skip(promtool.MISSING)
    done = subprocess.run(
        [program, "check", "metrics"], input=text, capture_output=True, timeout=60, check=False
    )
    found = (done.stdout + done.stderr).decode()
    assert bool(done.returncode) == bool(found), (done.returncode, found)
    return found


def test_the_linter_objects_to_a_bad_name() -> None:
    assert "counter metrics should have" in lint(b"# HELP calls How many.\n# TYPE calls counter\ncalls 1\n")


def test_nothing_is_wrong_with_the_servers_metrics() -> None:
    metrics = ServerMetrics(model="m", version="0")
    call = plain_call({'a"b\n\\': np.zeros(3, np.float32)}, {}, (), streaming=False)
    metrics.observe(depth=lambda: 1, in_flight=lambda: 2, ready=lambda: True)
    metrics.observe_certificate(lambda: 1e9)
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
    assert lint(metrics.exposition()[0]) == ""


def test_nothing_is_wrong_with_the_gateways_metrics() -> None:
    measures = Measures()
    model = GatewayModel(namespace="n", name="m")
    measures.released(model, 0.1)
    line = Demand(model=model, held=1, in_flight=2, arrivals_total=3, oldest_held_s=0.5)
    measures.seen((line,), held_bytes=4)
    assert b'atheria_gateway_requests_total{model="m",namespace="n"} 3.0' in generate_latest(
        measures.registry
    )
    assert lint(generate_latest(measures.registry)) == ""


def test_nothing_is_wrong_with_the_operators_metrics() -> None:
    registry = CollectorRegistry()
    telemetry = PrometheusTelemetry(registry)
    telemetry.reconciled(0.1, "Conflict")
    telemetry.replicas(OperatorModel(namespace="n", name="m"), desired=1, ready=0)
    telemetry.scaled(OperatorModel(namespace="n", name="m"), "Demand")
    telemetry.woken("reconcile")
    telemetry.called("PATCH", 200)
    telemetry.led(is_leader=True)
    telemetry.started("Pulling", 3.0)
    telemetry.watch_heartbeat(lambda: 0.0)
    assert lint(generate_latest(registry)) == ""
