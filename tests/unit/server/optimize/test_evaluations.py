"""The summary of an evaluation is found again by servers of the same variant, and by no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from atheria_contract.optimization import CacheConfig, CompileConfig, PrecisionConfig
from atheria_contract.serving import ServingConfig
from atheria_server.optimize.evaluations import MAX_BYTES, keep_evaluation, kept_evaluation, warn_of_loss

SUMMARY = {"passed": True, "p99Ms": 9.1}


@pytest.fixture
def config(tmp_path: Path) -> ServingConfig:
    return ServingConfig(name="m", source="builtin://qca", cache=CacheConfig(directory=str(tmp_path)))


def test_the_same_model_and_settings_find_it(config: ServingConfig) -> None:
    assert kept_evaluation(config) is None
    keep_evaluation(config, SUMMARY)
    assert kept_evaluation(replace(config, name="other", max_queue_depth=7)) == SUMMARY


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": {"law": "kerr"}},
        {"precision": PrecisionConfig(policy="int8")},
        {"compile": CompileConfig(mode="default")},
        {"cache": CacheConfig()},
    ],
)
def test_another_variant_does_not(config: ServingConfig, change: dict[str, object]) -> None:
    keep_evaluation(config, SUMMARY)
    assert kept_evaluation(replace(config, **change)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b"\xff", b"x" * (MAX_BYTES + 2), b"[" * MAX_BYTES])
def test_what_is_damaged_counts_as_absent(config: ServingConfig, damage: bytes, tmp_path: Path) -> None:
    keep_evaluation(config, SUMMARY)
    (file,) = (tmp_path / "evaluations").iterdir()
    file.write_bytes(damage)
    assert kept_evaluation(config) is None


def test_what_json_has_no_number_for_is_told_as_null_and_warned_of(
    config: ServingConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep_evaluation(config, SUMMARY)
    (file,) = (tmp_path / "evaluations").iterdir()
    for loss in ("NaN", "-Infinity", "1e400"):
        file.write_text(f'{{"combinedLoss": {loss}, "lossOf": "combined", "lossLimit": 0.1, "p99Ms": 9.5}}')
        found = kept_evaluation(config)
        assert found == {"combinedLoss": None, "lossOf": "combined", "lossLimit": 0.1, "p99Ms": 9.5}
        warn_of_loss(found)
        assert "option=combined loss_share=inf allowed_share=0.1" in caplog.text
        caplog.clear()


def test_one_that_is_too_large_is_refused(config: ServingConfig) -> None:
    with pytest.raises(ValueError, match="at most 4096 are kept"):
        keep_evaluation(config, {"text": "x" * MAX_BYTES})


def test_options_that_lose_more_than_was_allowed_are_in_the_log_with_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    limited = {"weightsLoss": 0.01, "lossOf": "combined", "lossLimit": 0.02}
    for summary in (None, {}, {**limited, "combinedLoss": 0.02}, {"combinedLoss": 0.9}):
        warn_of_loss(summary)
    assert not caplog.records
    warn_of_loss({**limited, "combinedLoss": 0.03})
    assert "event=options_lose_too_much option=combined loss_share=0.03 allowed_share=0.02" in caplog.text
    assert "turn one option off" in caplog.text
    warn_of_loss({**limited, "combinedLoss": None})
    assert "option=combined loss_share=inf allowed_share=0.02" in caplog.text
