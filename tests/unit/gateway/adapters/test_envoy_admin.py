"""Reading Envoy's counters."""

from __future__ import annotations

from atheria_gateway.adapters.envoy_admin import parse_counters
from atheria_gateway.core.demand import EnvoyCounters
from atheria_gateway.core.model import ModelKey

QCA = ModelKey(namespace="demo", name="qca")


def test_grpc_and_rest_are_summed_and_retries_are_no_arrivals() -> None:
    text = """cluster.demo/qca.upstream_rq_active: 3
cluster.demo/qca.upstream_rq_total: 12
cluster.demo/qca.upstream_rq_retry: 2
cluster.demo/qca/http.upstream_rq_active: 1
cluster.demo/qca/http.upstream_rq_total: 5
cluster.demo/qca/pods.upstream_rq_total: 100
cluster.activator.upstream_rq_total: 100
cluster.demo/qca.upstream_rq_time: No recorded values
"""
    assert parse_counters(text) == {QCA: EnvoyCounters(active_requests=4, arrivals_total=15)}


def test_no_text_means_no_models() -> None:
    assert parse_counters("") == {}
