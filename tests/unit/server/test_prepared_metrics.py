"""What a worker's report makes of the gauges: the worth of options, and the cache of a text model against its error budget."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import pytest

from atheria_contract import names
from atheria_contract.serving import ServingConfig
from atheria_server.core.cache_error_budget import CacheDrift, CacheErrorBudget
from atheria_server.core.cache_precision import CachePrecision
from atheria_server.core.cache_report import CacheReport
from atheria_server.metrics import ServerMetrics
from atheria_server.optimize.report import baseline_report

CONFIG = ServingConfig(name="m", source="builtin://sceneline")


def told(evaluation: Mapping[str, Any] | None = None, cache: CacheReport | None = None) -> str:
    metrics = ServerMetrics(model="m", version="1")
    metrics.model_prepared(baseline_report(CONFIG, 7, evaluation, cache.to_json() if cache else None))
    return metrics.exposition("")[0].decode()


def values(text: str, name: str) -> dict[str, float]:
    """By its label beside the model, or under the empty word."""
    found = re.findall(rf'^{name}{{model="m"(?:,\w+="(\w+)")?}} (\S+)$', text, re.MULTILINE)
    return {option: float(value) for option, value in found}


def test_the_options_of_a_kept_evaluation_are_told_from_the_start() -> None:
    text = told(
        {"kvCacheSpeedUp": 0.9, "kvCacheSavedBytes": 5, "kvCacheLoss": 0.01, "combinedSavedBytes": -3}
    )
    assert values(text, names.METRIC_OPTION_SPEED_UP) == {"kvCache": 0.9}
    assert values(text, names.METRIC_OPTION_SAVED_BYTES) == {"kvCache": 5, "combined": -3}
    assert values(text, names.METRIC_OPTION_LOSS) == {"kvCache": 0.01}


def test_what_a_kept_evaluation_allows_all_options_to_lose_is_told_beside_what_they_lose() -> None:
    # The same two series whether the limit is for one option alone or for all, and above it where the loss is no number.
    for option, loss, expected in (
        ("combined", 0.03, 0.03),
        ("weights", 0.01, 0.01),
        ("combined", None, math.inf),
    ):
        text = told({f"{option}Loss": loss, "lossOf": option, "lossLimit": 0.02})
        assert values(text, names.METRIC_JUDGED_LOSS) == {"": expected}
        assert values(text, names.METRIC_OPTION_LOSS_LIMIT) == {"": 0.02}
    for name in (names.METRIC_JUDGED_LOSS, names.METRIC_OPTION_LOSS_LIMIT):
        assert values(told({"combinedLoss": 0.03}), name) == {}


def test_without_an_evaluation_and_without_a_cache_there_are_no_such_series() -> None:
    text = told()
    for name in (
        names.METRIC_OPTION_LOSS,
        names.METRIC_KV_CACHE_PRECISION,
        names.METRIC_KV_CACHE_STEPPED_BACK,
    ):
        assert values(text, name) == {}


@pytest.mark.parametrize("runs", [CachePrecision.INT4, CachePrecision.INT8])
def test_a_cache_is_told_with_its_budget_and_whether_it_stepped_back(runs: CachePrecision) -> None:
    text = told(
        cache=CacheReport(
            wanted=CachePrecision.INT4,
            precision=runs,
            recent_window=128,
            budget=CacheErrorBudget(least_agreement=0.98, most_divergence=0.02),
            drift=CacheDrift(positions=200, agreeing=199, divergence=0.005),
        )
    )
    found = {
        names.METRIC_KV_CACHE_AGREEMENT: 0.995,
        names.METRIC_KV_CACHE_LEAST_AGREEMENT: 0.98,
        names.METRIC_KV_CACHE_DIVERGENCE: 0.005,
        names.METRIC_KV_CACHE_MOST_DIVERGENCE: 0.02,
        names.METRIC_KV_CACHE_STEPPED_BACK: float(runs is CachePrecision.INT8),
    }
    assert values(text, names.METRIC_KV_CACHE_PRECISION) == {runs.value: 1}
    assert {name: values(text, name) for name in found} == {
        name: {"": value} for name, value in found.items()
    }


def test_a_budget_without_an_end_has_no_number() -> None:
    report = CacheReport(
        wanted=CachePrecision.INT8,
        precision=CachePrecision.INT8,
        recent_window=32,
        budget=CacheErrorBudget(most_divergence=float("inf")),
        drift=CacheDrift(positions=200, agreeing=200, divergence=float("nan")),
    )
    assert (report.to_json()["most_divergence"], report.to_json()["divergence"]) == (None, None)
    assert values(told(cache=report), names.METRIC_KV_CACHE_MOST_DIVERGENCE) == {}


def test_a_worker_prepared_anew_leaves_nothing_of_the_one_before() -> None:
    def report(precision: CachePrecision, divergence: float) -> dict[str, Any]:
        cache = CacheReport(
            wanted=CachePrecision.INT4,
            precision=precision,
            recent_window=32,
            budget=CacheErrorBudget(),
            drift=CacheDrift(positions=200, agreeing=200, divergence=divergence),
        )
        return baseline_report(CONFIG, 7, None, cache.to_json())

    metrics = ServerMetrics(model="m", version="1")
    metrics.model_prepared(report(CachePrecision.INT4, 0.5))
    metrics.model_prepared(report(CachePrecision.INT8, float("nan")))
    text = metrics.exposition("")[0].decode()
    assert values(text, names.METRIC_KV_CACHE_PRECISION) == {"int8": 1}
    assert values(text, names.METRIC_KV_CACHE_DIVERGENCE) == {}
    metrics.model_prepared(baseline_report(CONFIG, 7, None, None))
    text = metrics.exposition("")[0].decode()
    assert values(text, names.METRIC_KV_CACHE_PRECISION) == {}
    assert values(text, names.METRIC_KV_CACHE_STEPPED_BACK) == {}
