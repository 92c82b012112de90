"""`evaluate` of a text model: each of its options alone and all together, against none, and what is kept for the status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atheria_contract.optimization import CacheConfig
from atheria_contract.serving import ServingConfig
from atheria_server.commands import evaluate
from atheria_server.models.text.settings import parse_text_settings
from atheria_server.optimize.evaluation.text_options import options_on, plain
from atheria_server.optimize.evaluations import kept_evaluation

PARAMETERS = {
    "kv_precision": "int8",
    "kv_recent_window": 32,
    # Whatever it changes: here it is measured, not judged.
    "kv_least_agreement": 0.0,
    "kv_most_divergence": 1e9,
    "speculation": "ngram",
    "threads": 1,
}
OPTIONS = ("kvCache", "attention", "prefixReuse", "continuousBatching", "speculation")


def test_options_that_are_off_are_not_measured() -> None:
    assert tuple(options_on(parse_text_settings(PARAMETERS))) == OPTIONS
    off = plain(parse_text_settings(PARAMETERS))
    assert options_on(off) == {}
    only_batched = parse_text_settings({"prefix_cache": False, "attention": "standard"})
    assert tuple(options_on(only_batched)) == ("continuousBatching",)


def test_every_option_is_told_alone_and_combined_and_kept_for_the_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [f"--set={name}={value}" for name, value in PARAMETERS.items()]
    code = evaluate.main(
        [
            *("builtin://sceneline", *settings, "--rounds=1", "--callers=4", "--prompt-tokens=64"),
            *("--new-tokens=4", f"--cache={tmp_path}", "--output=json"),
        ]
    )
    assert code == 0
    told = json.loads(capsys.readouterr().out)
    lines = {line["name"]: line for line in told["lines"]}
    for name in (*OPTIONS, "combined"):
        assert lines[f"{name}: speed-up"]["result"] == "n/a", "one round gives no ratio"
        assert {f"{name}: memory saved", f"{name}: tokens that differ"} <= lines.keys()
    # The cache is compressed behind 32 recent tokens of 64 and more; proposing tokens changes neither text nor memory.
    assert lines["kvCache: memory saved"]["value"] > 0
    assert lines["continuousBatching: memory saved"]["value"] < 0
    assert lines["attention: tokens that differ"]["value"] == 0
    assert lines["speculation: memory saved"]["value"] == 0
    assert lines["speculation: tokens that differ"]["value"] == 0
    assert lines["throughput"]["value"] > 0
    kept = kept_evaluation(
        ServingConfig(
            name="m",
            source="builtin://sceneline",
            parameters=dict(PARAMETERS),
            cache=CacheConfig(directory=str(tmp_path)),
        )
    )
    assert kept is not None
    assert kept["kvCacheSavedBytes"] == lines["kvCache: memory saved"]["value"]


def test_a_number_of_callers_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        evaluate.main(["builtin://sceneline", "--callers=0"])
    assert "expected a whole number from 1 on" in capsys.readouterr().err
