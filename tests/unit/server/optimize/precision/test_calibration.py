"""Ranges of activations: what is observed, and that calibrated ranges beat assumed ones where they must."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from atheria_contract.optimization import CalibrationConfig, PrecisionConfig
from atheria_server.core.precision import Capability, PrecisionError, plan_precision
from atheria_server.optimize.precision import apply_precision, layers_of
from atheria_server.optimize.precision.observers import ActivationRange, observed, steps

CPU = Capability(kind="cpu", bitsandbytes="any")


def network(inputs: int = 64) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(inputs, 32), nn.SiLU(), nn.Linear(32, 16)).requires_grad_(
        requires_grad=False
    )


def error(method: str, values: Tensor, seen: Tensor | None = None) -> float:
    """Relative error of the outputs for `values` after calibration on `seen`."""
    model = network(values.shape[1])
    wanted = model(values)
    modules = {"net": model}
    config = PrecisionConfig(policy="int8", calibration=CalibrationConfig(method=method))
    plan = plan_precision(config, layers_of(modules), {}, CPU)
    apply_precision(modules, plan, device="cpu", observe=lambda: model(values if seen is None else seen))
    return float((model(values) - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("size", [0.02, 100.0], ids=["small", "large"])
@pytest.mark.parametrize("method", ["minmax", "percentile", "smoothquant"])
def test_a_calibrated_range_beats_an_assumed_one_for_values_that_are_small_or_large(
    method: str, size: float
) -> None:
    values = size * torch.randn(256, 64, generator=torch.Generator().manual_seed(1))

    assert error(method, values) < 0.2 * error("assumed", values)


def test_a_percentile_beats_the_largest_value_where_one_is_an_outlier_of_calibration_alone() -> None:
    values = torch.randn(20_000, 64, generator=torch.Generator().manual_seed(1))
    seen = values.clone()
    seen[0, 0] = 500.0  # of this row, all 32 hidden activations are outliers too

    assert error("percentile", values, seen) < 0.2 * error("minmax", values, seen)


def test_smoothing_beats_one_range_where_inputs_differ_in_size() -> None:
    values = torch.randn(512, 64, generator=torch.Generator().manual_seed(1))
    values[:, 0] *= 100.0

    assert error("smoothquant", values) < 0.5 * error("minmax", values)


def test_the_report_says_the_range_that_each_layer_holds() -> None:
    model = network()
    modules = {"net": model}
    values = torch.full((2, 64), -3.0)
    config = PrecisionConfig(policy="int8", calibration=CalibrationConfig(method="minmax"))

    report = apply_precision(
        modules,
        plan_precision(config, layers_of(modules), {}, CPU),
        device="cpu",
        observe=lambda: model(values),
    )

    assert report.layers[0].activation_limit == pytest.approx(3.0)


def test_a_layer_that_the_golden_states_do_not_reach_is_refused_by_name() -> None:
    modules = {"net": network()}
    config = PrecisionConfig(policy="int8", calibration=CalibrationConfig(method="minmax"))
    plan = plan_precision(config, layers_of(modules), {}, CPU)

    with pytest.raises(PrecisionError, match=r"did not reach net.0, net.2; give golden calls that do"):
        apply_precision(modules, plan, device="cpu", observe=lambda: None)


def test_activations_that_are_not_finite_are_refused() -> None:
    with pytest.raises(PrecisionError, match="not finite"):
        ActivationRange(2).observe(torch.tensor([[1.0, float("nan")]]))


def test_observation_ends_with_its_context_even_after_an_error() -> None:
    model = network()
    first = model[0]
    assert isinstance(first, nn.Linear)

    def stopped(seen: list[Mapping[str, ActivationRange]]) -> None:
        with observed({"0": first}) as ranges:
            seen.append(ranges)
            model(torch.ones(1, 64))
            raise RuntimeError("stop")

    seen: list[Mapping[str, ActivationRange]] = []
    with pytest.raises(RuntimeError, match="stop"):
        stopped(seen)
    model(torch.full((1, 64), 9.0))

    assert seen[0]["0"].largest == 1.0
    assert seen[0]["0"].seen == 64


def test_learning_without_observations_is_a_programming_error() -> None:
    first = network()[0]
    assert isinstance(first, nn.Linear)

    with pytest.raises(ValueError, match="needs observed activations"):
        steps("minmax", first, None)


@settings(deadline=None)
@given(
    st.lists(st.floats(2**-9, 1024, width=32), min_size=1, max_size=50), st.sampled_from([50.0, 90.0, 100.0])
)
def test_a_percentile_is_that_of_the_values_within_a_bin(numbers: list[float], percent: float) -> None:
    seen = ActivationRange(1)
    for number in numbers:
        seen.observe(torch.tensor([[-number]]))

    exact = float(np.percentile(numbers, percent, method="inverted_cdf"))
    assert exact * 0.999 <= seen.percentile(percent) <= exact * 1.03
    assert seen.percentile(100.0) == pytest.approx(max(numbers), rel=1e-6)
