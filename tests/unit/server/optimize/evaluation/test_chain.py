"""What each step of the optimisation is worth, from times that the tests give."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from atheria_contract.serving import ServingConfig
from atheria_server.core.checklist import checked
from atheria_server.core.quality import Measurement
from atheria_server.core.timings import Timings
from atheria_server.models.contract import WarmupCall
from atheria_server.optimize.evaluation.chain import (
    COMPILED,
    EAGER,
    FULL,
    NARROW,
    Measured,
    measure_chain,
)
from atheria_server.optimize.evaluation.tensor_options import loss, option_variants
from atheria_server.settings import parse_arguments

KERR = ["serve", "builtin://qca", "--set", "law=kerr", "--warmup-shape", "16,8,8"]


def measured(**milliseconds: dict[int, float]) -> Measured:
    """Five equal rounds each."""
    return Measured(
        variants=dict.fromkeys(milliseconds, None),  # type: ignore[arg-type]
        timings={
            name: {rows: Timings(seconds=(value / 1000,) * 5) for rows, value in times.items()}
            for name, times in milliseconds.items()
        },
        rows=(1, 4),
        load_average=0.0,
    )


def test_each_step_is_measured_against_the_one_before():
    found = measured(**{EAGER: {1: 8.0, 4: 16.0}, COMPILED: {1: 4.0, 4: 8.0}, FULL: {1: 4.0, 4: 4.0}})
    chain = found.chain()
    assert chain.naive == pytest.approx(0.008)
    assert [(name, seconds) for name, seconds, _ in chain.steps] == [
        ("batch", pytest.approx(0.004)),
        ("compile", pytest.approx(0.002)),
        ("precision", pytest.approx(0.001)),
    ]
    assert chain.steps[0][2] == "4 rows; 2.00 (2.00 - 2.00)"
    assert found.total().median == pytest.approx(8.0)
    assert found.last == FULL


def test_a_step_that_was_not_asked_for_changes_nothing():
    chain = measured(**{EAGER: {1: 8.0, 4: 16.0}, FULL: {1: 8.0, 4: 8.0}}).chain()
    assert chain.steps[1] == ("compile", chain.steps[0][1], "not asked for")
    assert chain.steps[2][1] == pytest.approx(0.002)


def test_the_best_batch_is_the_one_with_most_rows_a_second_and_may_be_one_row():
    assert measured(**{EAGER: {1: 1.0, 4: 2.0}}).best_rows == 4
    assert measured(**{EAGER: {1: 1.0, 4: 8.0}}).best_rows == 1


def test_rounds_that_disagree_give_no_ratio_in_the_note():
    found = measured(**{EAGER: {1: 8.0, 4: 16.0}})
    noisy = {EAGER: {1: Timings(seconds=(0.001, 0.01, 0.02, 0.03, 0.1)), 4: found.timings[EAGER][4]}}
    assert (
        "no ratio: the rounds say"
        in (Measured(variants=found.variants, timings=noisy, rows=(1, 4), load_average=0).chain().steps[0][2])
    )


def test_all_variants_and_sizes_are_timed_in_the_same_rounds(monkeypatch: pytest.MonkeyPatch):
    seen: list[Any] = []

    def fake(work: Any, rounds: int, *, clock: Any) -> dict[str, Timings]:
        seen.append((sorted(work), rounds, clock))
        for one in work.values():
            one()
        return {name: Timings(seconds=(0.001,) * rounds) for name in work}

    monkeypatch.setattr("atheria_server.optimize.evaluation.chain.interleaved", fake)
    found = measure_chain(
        parse_arguments(KERR), "cpu", rows=(1, 2), parameters={"steps": 2}, rounds=6, clock="processor"
    )
    assert seen == [(["eager 1", "eager 2"], 6, time.process_time)]
    assert list(found.variants) == [EAGER]
    assert found.batch_time(EAGER).r_squared == 1.0
    call = WarmupCall(inputs={"seed": np.zeros(1, np.int64)}, parameters={"height": 8, "width": 8})
    assert found.variants[EAGER].loaded.compute(call)["state"].shape == (1, 16, 8, 8)


def test_each_option_alone_is_a_variant_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch):
    built: list[tuple[str, str]] = []

    def variant(config: ServingConfig, device: str) -> Any:
        built.append((config.compile.mode, config.precision.policy))
        api = SimpleNamespace(loaded=SimpleNamespace(api=None), predict=lambda call: call)
        del device
        return api

    for name, fake in (
        ("build_variant", variant),
        ("sample_call", lambda *_, **__: None),
        ("interleaved", lambda work, rounds, **_: dict.fromkeys(work, Timings(seconds=(1.0,) * rounds))),
    ):
        monkeypatch.setattr(f"atheria_server.optimize.evaluation.chain.{name}", fake)
    both = parse_arguments([*KERR, "--compile", "default", "--precision", "bf16"])
    found = measure_chain(both, "cpu", rows=(1,), parameters={}, rounds=5, each_alone=True)
    assert built == [("off", "fp32"), ("default", "fp32"), ("off", "bf16"), ("default", "bf16")]
    assert found.last == FULL
    assert option_variants(found.variants) == {"compile": COMPILED, "precision": NARROW, "combined": FULL}
    assert [name for name, _, _ in found.chain().steps] == ["batch", "compile", "precision"]
    assert NARROW not in measure_chain(both, "cpu", rows=(1,), parameters={}, rounds=5).variants
    narrow = parse_arguments([*KERR, "--precision", "bf16"])
    found = measure_chain(narrow, "cpu", rows=(1,), parameters={}, rounds=5, each_alone=True)
    assert option_variants(found.variants) == {"precision": FULL}
    assert option_variants({EAGER: found.variants[EAGER]}) == {}


@pytest.mark.parametrize(
    ("measurements", "expected"),
    [
        ([], 0.0),
        ([("error:a", 0.02, "lower"), ("error:b", 0.01, "lower")], 0.02),
        ([("equal:a", 0.75, "higher"), ("kl:logits", 9.0, "lower"), ("top1:logits", 0.9, "higher")], 0.25),
    ],
)
def test_the_loss_is_that_of_the_worst_output_as_a_share(
    measurements: list[tuple[str, float, Any]], expected: float
):
    found = [Measurement(name=name, value=value, better=better) for name, value, better in measurements]
    assert loss(found) == pytest.approx(expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_loss_that_is_no_number_is_not_hidden_by_the_others_and_fails_its_limit(value: float, at: int):
    values = [0.1, 0.2]
    values.insert(at, value)
    found = loss([Measurement(name=f"error:{one}", value=one, better="lower") for one in values])
    assert math.isnan(found)
    assert checked("precision: output error", found, 0.5).result == "fail"
