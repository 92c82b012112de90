"""Before a model is ready, its compressed cache is measured on texts that it wrote itself, and given up if it changes too much."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from atheria_contract.serving import ServingConfig
from atheria_server.core.cache_error_budget import CacheErrorBudget
from atheria_server.core.cache_precision import CachePrecision, CacheSettings
from atheria_server.core.errors import ModelRefusedError
from atheria_server.engine.phases import no_progress
from atheria_server.models.text import start
from atheria_server.models.text.cache.golden import Beginning, continue_texts
from atheria_server.models.text.cache.settling import settle
from atheria_server.models.text.sceneline_origin import SceneLineOrigin
from atheria_server.models.text.settings import TextSettingsError, parse_text_settings
from atheria_server.models.text.start import new_generator
from atheria_server.optimize.loaded import load_model
from atheria_server.optimize.pipeline import prepare
from tests.unit.server.models.text.tiny import END, TinyNetwork


def precision_served(
    caplog: pytest.LogCaptureFixture, **parameters: str | float
) -> tuple[list[str], Mapping[str, Any]]:
    """The precisions tried at the start of sceneline, the one that it serves with last; and what the report says."""
    caplog.clear()
    settings = parse_text_settings({"cache_bytes": "64Mi", "kv_recent_window": 8, **parameters})
    with caplog.at_level(logging.INFO, logger="atheria.text.cache"):
        generator = new_generator(
            SceneLineOrigin("small").load("cpu"), settings, context_length=512, decode=None, device="cpu"
        )
    assert generator.cache_report is not None
    return (
        [
            record.getMessage().split()[0].partition("=")[2]
            for record in caplog.records
            if record.name == "atheria.text.cache"
        ],
        generator.cache_report.to_json(),
    )


def test_texts_are_continued_by_the_likeliest_tokens_up_to_the_end_token() -> None:
    network = TinyNetwork()
    beginnings = [Beginning(tokens=[5, 6, 7]), Beginning(tokens=[9]), Beginning(tokens=[4, 4])]
    texts = continue_texts(network, beginnings, 6)
    assert 1 <= len(texts) <= 3
    for text in texts:
        length = text.prompt
        assert list(text.tokens[:length]) in [list(one.tokens) for one in beginnings]
        assert 2 <= len(text.tokens) - length <= 6
        assert END not in text.tokens[length:-1]
        assert len(text.tokens) - length == 6 or text.tokens[-1] == END
    assert [list(one.tokens) for one in continue_texts(network, beginnings, 6)] == [
        list(one.tokens) for one in texts
    ]


def test_a_cache_within_its_budget_is_served_and_one_beyond_steps_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tried, told = precision_served(caplog, kv_precision="int8")
    assert tried == ["int8"]
    assert (told["wanted"], told["precision"], told["stepped_back"]) == ("int8", "int8", False)
    assert 0.99 <= told["agreement"] <= 1
    assert 0 < told["divergence"] <= 0.01
    assert told["positions"] >= 100
    tried, told = precision_served(caplog)
    assert tried == []
    assert (told["precision"], told["agreement"], told["divergence"], told["why"]) == ("full", 1, 0, "")
    tried, told = precision_served(caplog, kv_precision="int4", kv_most_divergence=0)
    assert tried == ["int4", "int8", "full"]
    assert (told["divergence"], told["wanted"], told["precision"]) == (0, "int4", "full")
    assert told["stepped_back"]
    assert told["most_divergence"] == 0
    assert told["why"].startswith("int4 is over the budget (most divergence 0 nats), back to int8: ")


def test_without_texts_nothing_compressed_is_served() -> None:
    wanted = CacheSettings(precision=CachePrecision.INT4)
    settled = settle(TinyNetwork(), [], wanted, CacheErrorBudget())
    assert settled.settings.precision is CachePrecision.FULL
    assert "0 positions" in settled.reasons[0]


def test_new_scenes_are_always_the_same_and_about_as_long_as_asked() -> None:
    loaded = SceneLineOrigin("small").load("cpu")
    first, second = (loaded.beginnings(2, 100) for _ in range(2))
    assert len(first) == 2
    for one, other in zip(first, second, strict=True):
        assert len(one.tokens) == 101
        assert one.lead is not None
        assert other.lead is not None
        assert torch.equal(one.lead, other.lead)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"kv_least_agreement": 99}, "least_agreement is 99"),
        ({"kv_least_agreement": "much"}, "expected a number"),
        ({"kv_most_divergence": -1}, "most_divergence is -1"),
        ({"kv_recent_window": 40}, "multiples of group_tokens"),
    ],
)
def test_error_budgets_that_mean_nothing_are_refused(parameters: dict[str, float | str], words: str) -> None:
    with pytest.raises(TextSettingsError, match=words):
        parse_text_settings(parameters)


def test_the_report_of_a_ready_model_has_its_cache_and_that_of_others_has_none() -> None:
    budget = {"kv_precision": "int8", "kv_recent_window": 8, "kv_most_divergence": 0, "threads": 1}
    report = prepared("builtin://sceneline", {**budget, "cache_bytes": "64Mi"})
    assert report["kv_cache"]["stepped_back"]
    assert report["kv_cache"]["precision"] == "full"
    json.dumps(report, allow_nan=False)
    assert prepared("builtin://echo", {})["kv_cache"] is None


def test_a_model_whose_attention_the_device_cannot_compute_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(start, "can_flash", lambda *_: False)
    with pytest.raises(ModelRefusedError, match="attention is 'flash'"):
        prepared("builtin://sceneline", {"attention": "flash", "cache_bytes": "64Mi", "threads": 1})


def prepared(source: str, parameters: dict[str, Any]) -> Mapping[str, Any]:
    """The report of a model that is ready."""
    config = ServingConfig(name="m", source=source, parameters=parameters)
    loaded = load_model(source, parameters)
    return prepare(loaded, config, reload=lambda: None, progress=no_progress).report
