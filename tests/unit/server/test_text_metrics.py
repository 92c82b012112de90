from __future__ import annotations

import re

from atheria_server.metrics import ServerMetrics
from atheria_server.models.text.counts import TextCounts


def value(metrics: ServerMetrics, name: str) -> float | None:
    text = metrics.exposition("")[0].decode()
    found = re.search(rf'^{name}{{model="m"}} (\S+)$', text, re.MULTILINE)
    return float(found[1]) if found else None


def test_a_server_without_texts_has_none_of_the_series() -> None:
    assert value(ServerMetrics(model="m", version="1"), "atheria_generated_tokens_total") is None


def test_counts_add_up_over_reports_and_workers_and_gauges_are_what_is_now() -> None:
    metrics = ServerMetrics(model="m", version="1")
    counts = TextCounts(cache_budget_bytes=100)
    for tokens, active in ((5, 3), (7, 1)):
        counts.generated_tokens += tokens
        counts.active_sequences = active
        counts.observe(counts.first_token_seconds, 0.02)
        metrics.text_reported(11, counts.report())
    counts.generated_tokens = 2
    counts.active_sequences = 4
    metrics.text_reported(12, counts.report())
    assert value(metrics, "atheria_generated_tokens_total") == 14
    assert value(metrics, "atheria_active_sequences") == 5
    assert value(metrics, "atheria_kv_cache_budget_bytes") == 200
    assert value(metrics, "atheria_time_to_first_token_seconds_count") == 2
    metrics.worker_restarted()
    assert value(metrics, "atheria_active_sequences") == 0
    assert value(metrics, "atheria_generated_tokens_total") == 14
