"""The metrics of qca: known values of known states, golden calls, and the built-in demonstration of the gate.

The demonstration is the bar itself: the seeds' hierarchy passes both profiles, NF4 everywhere is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from atheria_contract.optimization import PrecisionConfig, QualityConfig
from atheria_server.core.precision import plan_precision
from atheria_server.core.quality import Measurement, QualityError
from atheria_server.core.quality_gate import Verdict, judge, profile_of
from atheria_server.models.contract import Arrays, InvalidRequestError, WarmupCall
from atheria_server.models.qca import quality
from atheria_server.models.qca.api import QcaApi
from atheria_server.optimize import precision
from atheria_server.optimize.loaded import LoadedModel, load_model
from atheria_server.optimize.quality import compare, golden_calls

DEFAULT = profile_of(QualityConfig())
STRICT = profile_of(QualityConfig(profile="strict"))
SEEDS = 16
ROWS_MAX = 8


def outputs(states: np.ndarray[Any, Any]) -> list[Arrays]:
    """The same states after each of the steps."""
    return [{"state": states.astype(np.float32)} for _ in quality.STEPS]


def by_name(found: Sequence[Measurement]) -> dict[str, Measurement]:
    return {one.name: one for one in found}


def random_states(rows: int, side: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal((rows, 16, side, side)).astype(np.float32)


def test_golden_calls_are_one_call_a_step_and_shape_that_the_model_takes() -> None:
    api = QcaApi({})
    calls = api.golden_calls([], 16)
    assert [call.parameters["steps"] for call in calls] == [1, 8, 16, 32]
    assert all((call.parameters["height"], call.parameters["width"]) == (32, 32) for call in calls)
    assert all(call.inputs["seed"].tolist() == list(range(16)) for call in calls)
    shaped = api.golden_calls([(16, 16, 24), (16, 8, 8), (16, 16, 24)], 2)
    assert [(call.parameters["height"], call.parameters["width"]) for call in shaped] == [(16, 24)] * 4 + [
        (8, 8)
    ] * 4
    for call in [*calls, *shaped]:
        assert api.validate(call.inputs, call.parameters, streaming=False).rows == len(call.inputs["seed"])


@pytest.mark.parametrize("shape", [(16, 32), (8, 32, 32), (16, 32, 32, 1)])
def test_a_golden_shape_that_is_not_the_laws_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidRequestError, match=r"expected \[16, H, W\]"):
        QcaApi({}).golden_calls([shape], 2)


def test_equal_states_agree_in_everything() -> None:
    states = random_states(4, 8)
    found = by_name(quality.compare(outputs(states), outputs(states)))
    assert len(found) == len(quality.STEPS) * (1 + len(quality.FLOORS))
    for name, one in found.items():
        assert one.value == pytest.approx(1.0 if name.startswith("F_") else 0.0, abs=1e-12)


def test_a_global_phase_and_a_scale_are_not_seen_by_fidelity_nor_by_relative_statistics() -> None:
    states = random_states(4, 8)
    turned = 3 * np.concatenate([-states[:, 8:], states[:, :8]], 1)
    for name, one in by_name(quality.compare(outputs(states), outputs(turned))).items():
        assert one.value == pytest.approx(1.0 if name.startswith("F_") else 0.0, abs=1e-6)


def test_fidelity_is_the_mean_over_the_rows() -> None:
    states = random_states(2, 8)
    other = states.copy()
    other[1] = random_states(1, 8, seed=9)[0]
    found = by_name(quality.compare(outputs(states), outputs(other)))
    psi = states[1, :8].astype(complex) + 1j * states[1, 8:]
    phi = other[1, :8].astype(complex) + 1j * other[1, 8:]
    single = abs(np.vdot(psi, phi)) ** 2 / (np.vdot(psi, psi).real * np.vdot(phi, phi).real)
    assert found["F_8"].value == pytest.approx((1 + single) / 2)
    assert found["F_8"].standard_error == pytest.approx((1 - single) / 2)


def test_each_statistic_is_what_its_definition_says() -> None:
    states = random_states(3, 8)
    found = by_name(quality.compare(outputs(states), outputs(states)))
    values: dict[str, list[float]] = {name: [] for name in quality.FLOORS}
    for row in states.astype(np.float64):
        rho = (row**2).sum(0)
        share = rho / rho.sum()
        psi = row[:8] + 1j * row[8:]
        blocks = rho.reshape(2, 4, 2, 4).mean((1, 3))
        power = np.abs(np.fft.fft2(rho - rho.mean())) ** 2
        wave = np.fft.fftfreq(8)
        long = np.hypot(*np.meshgrid(wave, wave)) < 1 / 8
        values["S"].append(float(-(share * np.log(share)).sum() / np.log(64)))
        values["C4"].append(float(blocks.var() / rho.mean() ** 2))
        values["C1"].append(float(rho.var() / rho.mean() ** 2))
        values["G"].append(
            float(sum(abs(np.vdot(psi, np.roll(psi, 1, axis))) for axis in (1, 2)) / 2 / rho.sum())
        )
        values["L"].append(float(power[long].sum() / power.sum()))
    for name, numbers in values.items():
        assert found[f"{name}_16"].baseline == pytest.approx(np.mean(numbers), rel=1e-6, abs=1e-9), name


def test_the_low_wave_number_share_tells_a_long_ripple_from_a_short_one() -> None:
    x = np.arange(32)
    long, short = 1 + 0.1 * np.cos(2 * np.pi * x / 16), 1 + 0.1 * np.cos(2 * np.pi * x / 4)
    field = np.stack([np.broadcast_to(row, (32, 32)) for row in (long, short, np.ones(32), long + short)])
    assert quality.low_wave_number_share(field) == pytest.approx([1.0, 0.0, 0.0, 0.5], abs=1e-9)


def test_a_statistic_near_zero_is_measured_against_its_floor() -> None:
    smooth = np.ones((2, 16, 8, 8), np.float32)
    rough = smooth + 0.01 * random_states(2, 8)
    found = by_name(quality.compare(outputs(smooth), outputs(rough)))["C4_8"]
    assert found.baseline == pytest.approx(0.0, abs=1e-12)
    assert found.variant is not None
    assert found.value == pytest.approx(found.variant / 0.01)


def test_calls_in_parts_and_of_several_shapes_are_put_together_again() -> None:
    small, large = random_states(4 * 5, 8), random_states(4 * 5, 16)
    whole = [{"state": part} for states in (small, large) for part in np.split(states, 4)]
    parts = [
        {"state": part}
        for call in whole
        for part in (call["state"][:2], call["state"][2:4], call["state"][4:])
    ]
    changed = [{"state": call["state"] * np.float32(1.01) + np.float32(0.01)} for call in whole]
    split = [
        {"state": part}
        for call in changed
        for part in (call["state"][:2], call["state"][2:4], call["state"][4:])
    ]
    assert quality.compare(whole, changed) == quality.compare(parts, split)


@pytest.mark.parametrize(
    ("baseline", "variant", "said"),
    [
        (random_states(3, 8), random_states(3, 8), "3 golden states"),
        (random_states(4, 8), random_states(8, 8), "run both on the same golden calls"),
        (random_states(4, 8), random_states(4, 16), "run both on the same golden calls"),
    ],
)
def test_states_that_do_not_correspond_are_refused(baseline: Any, variant: Any, said: str) -> None:
    with pytest.raises(QualityError, match=said):
        quality.compare([{"state": baseline}], [{"state": variant}])


def test_a_kerr_law_has_golden_calls_and_no_groups() -> None:
    model = load_model("builtin://qca", {"law": "kerr"})
    assert model.api.module_groups() == {}
    assert set(model.api.modules()) == {"law"}


class Demonstration:
    """The shipped law and its baseline, on which each policy is judged anew."""

    def __init__(self) -> None:
        self.calls: Sequence[WarmupCall] = []
        model = self.model()
        self.calls = golden_calls(model.api, [], SEEDS, ROWS_MAX)
        self.baseline = model.run(self.calls)

    def model(self) -> LoadedModel:
        return load_model("builtin://qca", {})

    def measured(self, config: PrecisionConfig) -> Sequence[Measurement]:
        model = self.model()
        modules = precision.modules_of(model.api)
        plan = plan_precision(
            config,
            precision.layers_of(modules),
            precision.groups_of(model.api, modules),
            precision.probe("cpu"),
        )
        precision.apply_precision(modules, plan, device="cpu", observe=lambda: model.run(self.calls))
        return compare(model.api, self.baseline, model.run(self.calls))


@pytest.fixture(scope="module")
def demonstration() -> Iterator[Demonstration]:
    threads = torch.get_num_threads()
    yield Demonstration()
    torch.set_num_threads(threads)


def test_the_baseline_agrees_with_itself_exactly(demonstration: Demonstration) -> None:
    again = demonstration.model().run(demonstration.calls)
    for one in compare(QcaApi({}), demonstration.baseline, again):
        assert one.value == pytest.approx(1.0 if one.name.startswith("F_") else 0.0, abs=1e-12)


def test_the_seeds_hierarchy_passes_both_profiles(demonstration: Demonstration) -> None:
    measured = demonstration.measured(PrecisionConfig(policy="hierarchy"))
    for profile in (DEFAULT, STRICT):
        verdict = judge(measured, profile)
        assert verdict.passed, verdict.failures
        assert Verdict.from_json(verdict.to_json()) == verdict


def test_nf4_everywhere_is_refused_by_both_profiles_and_the_failing_metric_is_named(
    demonstration: Demonstration,
) -> None:
    measured = demonstration.measured(PrecisionConfig(policy="nf4"))
    for profile in (DEFAULT, STRICT):
        verdict = judge(measured, profile)
        assert not verdict.passed
        assert any(text.startswith("C4_32 is off by ") for text in verdict.failures), verdict.failures
        assert any(text.startswith("C1_32 is off by ") for text in verdict.failures), verdict.failures
        assert all("use precision.policy hierarchy" in text for text in verdict.failures)


def test_weights_that_are_nan_are_refused_whatever_the_limits(demonstration: Demonstration) -> None:
    model = demonstration.model()
    with torch.no_grad():
        model.api.law.out.weight[0, 0] = float("nan")
    verdict = judge(compare(model.api, demonstration.baseline, model.run(demonstration.calls)), DEFAULT)
    assert not verdict.is_finite
    assert any("NaN or infinite" in text for text in verdict.failures)
