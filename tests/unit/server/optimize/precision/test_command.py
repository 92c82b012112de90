"""`atheria-server optimize`: tables, verdicts, the walk of auto, and one line for what cannot be used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from atheria_contract.optimization import CacheConfig, PrecisionConfig, QualityConfig
from atheria_contract.serving import ServingConfig
from atheria_server.commands.optimize import main
from atheria_server.core.quality_gate import Judged
from atheria_server.engine.phases import no_progress
from atheria_server.optimize.precision import tables, trials

QCA = ("builtin://qca", "--warmup-shape", "16,8,8")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def cache(tmp_path: Path) -> tuple[str, str]:
    return "--cache", str(tmp_path)


def test_each_policy_gets_layers_counted_bytes_a_peak_and_a_verdict(
    cache: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([*QCA, *cache, "--precision", "int8", "--precision", "fp32"])

    shown = capsys.readouterr()
    assert code == 0
    assert "| law.hidden.1 | Linear | backbone | int8      | 16,640       | 4,608       |" in shown.out
    assert "Weights, counted: 38,464 -> 10,624 bytes (-72.4 %)." in shown.out
    assert "Peak, measured apart:" in shown.out
    assert "Gate: passed profile default" in shown.out
    assert "Gate: this is the baseline." in shown.out
    assert "## Policies" in shown.out
    assert "s] judging int8" in shown.err


def test_a_policy_that_fails_its_gate_names_the_metric_and_the_exit_code_says_so(
    cache: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([*QCA, *cache, "--precision", "nf4", "--quality-limit", "F_8=0.99999", "--output", "json"])

    (tried,) = json.loads(capsys.readouterr().out)["tried"]
    assert code == 1
    assert not tried["passed"]
    assert tried["weight_bytes_after"] == 5904
    assert any(failure.startswith("F_8 is") for failure in tried["verdict"]["failures"])


def test_auto_walks_to_the_first_that_passes_with_a_sentence_for_each_before(
    cache: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([*QCA, *cache, "--set", "law=unet", "--set", "hidden=4"])

    shown = capsys.readouterr().out
    assert code == 0
    assert "## auto, which took int8" in shown
    assert "nf4 was not tried: nf4 is for Linear, but law.encoder.fine.first is a Conv2d; use int8" in shown
    assert "hierarchy was not tried: nf4 is for Linear" in shown


def test_a_policy_that_cannot_be_applied_is_refused_with_the_alternative(
    cache: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([*QCA, *cache, "--set", "law=kerr", "--precision", "int8"])

    assert code == 1
    assert "Refused: policy int8 changes no layer" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["builtin://qca", "--precision", "int3"], "precision.policy is 'int3'; allowed: fp32"),
        (["builtin://nothing"], "unknown model 'builtin://nothing'"),
        ([], "no model: give SOURCE"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(arguments)

    shown = capsys.readouterr()
    assert code == 1
    assert shown.out == ""
    assert words in shown.err.splitlines()[-1]


@pytest.fixture(scope="module")
def calibrations(tmp_path_factory: pytest.TempPathFactory) -> list[trials.Tried]:
    config = ServingConfig(
        name="qca",
        source="builtin://qca",
        warmup_shapes=((16, 16, 16),),
        precision=PrecisionConfig(policy="int8"),
        quality=QualityConfig(ensemble=2),
        cache=CacheConfig(directory=str(tmp_path_factory.mktemp("cache"))),
    )
    return list(trials.try_calibrations(config, "cpu", no_progress))


def test_calibrated_ranges_are_shown_beside_the_assumed_one_and_are_better(
    calibrations: list[trials.Tried],
) -> None:
    def fidelity(tried: trials.Tried) -> float:
        assert tried.verdict is not None
        found: list[Judged] = [one for one in tried.verdict.judged if one.measurement.name == "F_8"]
        return found[0].measurement.value

    by_method = {one.calibration: one for one in calibrations}

    assert list(by_method) == list(trials.CALIBRATION_ROWS)
    for method in ("none", "dynamic", "minmax", "percentile", "smoothquant"):
        assert fidelity(by_method[method]) > fidelity(by_method["assumed"])


def test_the_table_of_calibrations_has_a_row_each(calibrations: list[trials.Tried]) -> None:
    lines = tables.calibrations_text(calibrations).splitlines()

    assert lines[0].startswith("| activations | F_1")
    assert [line.split("|")[1].strip() for line in lines[2:]] == list(trials.CALIBRATION_ROWS)


def test_a_refused_calibration_is_a_row_with_its_reason(calibrations: list[trials.Tried]) -> None:
    refused = replace(calibrations[0], verdict=None, refusal="no", calibration="dynamic")

    assert "refused: no" in tables.calibrations_text([calibrations[0], refused]).splitlines()[-1]
