"""Comparing outputs: the default by type and name, the LitAPI's own, a user's metric, and values that are not finite."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atheria_contract.optimization import QualityConfig
from atheria_server.core.quality import Measurement, QualityError
from atheria_server.core.quality_gate import judge, profile_of
from atheria_server.core.tensors import bfloat16_of
from atheria_server.optimize.quality import compare
from atheria_server.optimize.quality.outputs import compare_outputs

NOBODY = object()
DEFAULT = profile_of(QualityConfig())


def values(found: Sequence[Measurement]) -> dict[str, float]:
    return {one.name: one.value for one in found}


def numbers(*rows: float) -> dict[str, Any]:
    return {"y": np.array(rows, np.float32)}


def test_equal_outputs_of_every_type_have_no_error() -> None:
    outputs = {
        "half": np.array([[1, 2]], np.float16),
        "brain": bfloat16_of([[1.5, 2.5]]),
        "whole": np.array([3], np.int64),
        "flag": np.array([True]),
        "text": np.array([b"abc"], object),
        "logits": np.array([[0.1, 0.9]], np.float32),
        "nothing": np.zeros((1, 0), np.float32),
    }
    found = values(compare(NOBODY, [outputs], [outputs]))
    assert found == {
        "error:half": 0.0,
        "error:brain": 0.0,
        "error:nothing": 0.0,
        "equal:whole": 1.0,
        "equal:flag": 1.0,
        "equal:text": 1.0,
        "top1:logits": 1.0,
        "kl:logits": 0.0,
    }


def test_the_relative_error_is_over_all_calls_together() -> None:
    found = compare(NOBODY, [numbers(3.0, 0.0), numbers(4.0)], [numbers(3.0, 0.3), numbers(4.0)])
    assert values(found) == {"error:y": pytest.approx(0.06)}


def test_one_broken_row_of_sixteen_is_not_excused_by_its_own_spread() -> None:
    baseline = [numbers(1.0) for _ in range(16)]
    variant = [numbers(5.0), *baseline[1:]]
    assert not judge(compare(NOBODY, baseline, variant), DEFAULT).passed


def test_an_output_of_zeros_allows_no_difference() -> None:
    assert values(compare(NOBODY, [numbers(0.0)], [numbers(0.0)])) == {"error:y": 0.0}
    assert not judge(compare(NOBODY, [numbers(0.0)], [numbers(1e-6)]), DEFAULT).passed


def test_bfloat16_is_compared_by_value_and_with_any_other_float() -> None:
    found = compare(NOBODY, [{"y": np.array([2.0], np.float32)}], [{"y": bfloat16_of([2.5])}])
    assert values(found) == {"error:y": pytest.approx(0.25)}


def test_tokens_and_bytes_are_compared_by_the_share_that_is_equal() -> None:
    baseline = [{"tokens": np.array([[1, 2, 3, 4]]), "text": np.array([b"a", b"b"], object)}]
    variant = [{"tokens": np.array([[1, 2, 9, 4]]), "text": np.array([b"a", b"x"], object)}]
    assert values(compare(NOBODY, baseline, variant)) == {"equal:tokens": 0.75, "equal:text": 0.5}


def test_logits_are_judged_by_their_largest_entry_and_their_distribution() -> None:
    baseline = [{"next_logits": np.array([[2.0, 0.0], [0.0, 1.0]], np.float32)}]
    variant = [{"next_logits": np.array([[3.0, 1.0], [1.0, 0.0]], np.float32)}]
    found = values(compare(NOBODY, baseline, variant))
    p = 1 / (1 + math.e)
    assert found == {
        "top1:next_logits": 0.5,
        "kl:next_logits": pytest.approx(((1 - p) * 1 + p * -1) / 2),
    }


def test_a_likeliest_class_that_is_no_number_is_not_the_same() -> None:
    baseline = [{"logits": np.array([[2.0, 0.0], [2.0, 0.0]], np.float32)}]
    variant = [{"logits": np.array([[math.nan, 0.0], [2.0, 0.0]], np.float32)}]
    found = {one.name: one.value for one in compare_outputs(baseline, variant)}
    assert found["top1:logits"] == 0.5


def test_a_limit_may_ask_for_any_way_of_comparing_an_output() -> None:
    baseline = [{"scores": np.array([[2.0, 0.0]], np.float32), "logits": np.array([[2.0, 0.0]], np.float32)}]
    found = compare(NOBODY, baseline, baseline, limits=["top1:scores", "kl:scores", "error:logits"])
    assert set(values(found)) == {
        "error:scores",
        "top1:scores",
        "kl:scores",
        "error:logits",
        "top1:logits",
        "kl:logits",
    }


def test_classes_need_an_axis_of_their_own() -> None:
    with pytest.raises(QualityError, match="needs an output with 2 or more classes"):
        compare_outputs([numbers(1.0)], [numbers(1.0)], limits=["top1:y"])


def test_outputs_that_one_call_lacks_are_compared_where_they_are() -> None:
    baseline = [{"a": np.ones(2)}, {"b": np.ones(2)}]
    assert values(compare(NOBODY, baseline, baseline)) == {"error:a": 0.0, "error:b": 0.0}


@pytest.mark.parametrize(
    ("baseline", "variant", "said"),
    [
        ([], [], "0 golden outputs of the baseline and 0 of the variant"),
        ([numbers(1.0)], [], "1 golden outputs of the baseline and 0 of the variant"),
        ([numbers(1.0)], [{"z": np.ones(1)}], r"the outputs \['y'\] from the baseline and \['z'\]"),
        ([numbers(1.0)], [numbers(1.0, 2.0)], r"shape \[1\] from the baseline and \[2\] from the variant"),
    ],
)
def test_outputs_that_do_not_correspond_are_refused(
    baseline: list[Any], variant: list[Any], said: str
) -> None:
    with pytest.raises(QualityError, match=said):
        compare(NOBODY, baseline, variant)


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_variant_that_is_not_finite_fails_and_nothing_else_is_measured(broken: float) -> None:
    found = compare(NOBODY, [numbers(1.0, 1.0)] * 2, [numbers(1.0, broken)] * 2)
    assert values(found) == {"non_finite:y": 2.0}
    assert not judge(found, DEFAULT).passed
    assert values(compare(NOBODY, [{"y": np.ones(1)}], [{"y": bfloat16_of([broken])}])) == {
        "non_finite:y": 1.0
    }


def test_a_baseline_that_is_not_finite_is_an_error_that_says_so() -> None:
    with pytest.raises(
        QualityError, match="output y of the fp32 baseline has 1 values that are NaN or infinite"
    ):
        compare(NOBODY, [numbers(math.nan)], [numbers(1.0)])


class OwnCompare:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def compare(self, baseline: Sequence[Mapping[str, Any]], variant: Sequence[Mapping[str, Any]]) -> Any:
        assert (len(baseline), len(variant)) == (1, 1)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


ONE = Measurement(name="psnr", value=0.5, better="higher")


def test_the_own_comparison_of_a_litapi_goes_before_the_default() -> None:
    assert compare(OwnCompare([ONE]), [numbers(1.0)], [numbers(1.0)]) == [ONE]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            ValueError("no\nframes"),
            "OwnCompare.compare failed: ValueError: no frames; correct it, or remove it",
        ),
        ([], "OwnCompare.compare measured nothing"),
        ([0.5], "OwnCompare.compare returned 0.5; expected Measurements"),
        (None, "OwnCompare.compare failed: TypeError"),
    ],
)
def test_an_own_comparison_that_goes_wrong_is_an_error_that_names_it(answer: Any, said: str) -> None:
    with pytest.raises(QualityError) as failed:
        compare(OwnCompare(answer), [numbers(1.0)], [numbers(1.0)])
    assert said in str(failed.value)


@pytest.fixture
def metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a new module in the working folder."""
    name = f"metric_{abs(hash(request.node.nodeid))}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield name
    sys.modules.pop(name, None)


def written(name: str, text: str) -> str:
    Path(f"{name}.py").write_text(text, encoding="utf-8")
    return f"{name}:measure"


def judged(metric_path: str, **limits: float) -> Sequence[str]:
    found = compare(OwnCompare([ONE]), [numbers(1.0)], [numbers(3.0)], metric=metric_path)
    return judge(found, profile_of(QualityConfig(limits=limits))).failures


def test_a_users_metric_goes_before_everything_and_gets_both_outputs(metric: str) -> None:
    path = written(metric, "def measure(b, v):\n    return {'gap': v[0]['y'][0] - b[0]['y'][0]}\n")
    assert judged(path)[0].startswith("gap is 2, allowed is at most 0.05")
    assert judged(path, gap=2.5) == ()


def test_a_users_metric_may_return_measurements(metric: str) -> None:
    path = written(
        metric,
        "from atheria_server.core.quality import Measurement\n"
        "def measure(b, v):\n    yield Measurement(name='psnr', value=31.0, better='higher')\n",
    )
    assert judged(path, psnr=30) == ()
    assert judged(path, psnr=32)[0].startswith("psnr is 31, allowed is at least 32")


def test_a_users_metric_that_gives_nan_refuses_the_variant(metric: str) -> None:
    path = written(metric, "def measure(b, v):\n    return {'gap': float('nan')}\n")
    assert "gap is nan" in judged(path, gap=1e9)[0]


def test_a_users_metric_sees_no_outputs_that_are_not_finite(metric: str) -> None:
    path = written(metric, "def measure(b, v):\n    return {'gap': 0.0}\n")
    found = compare(NOBODY, [numbers(1.0)], [numbers(math.nan)], metric=path)
    assert values(found) == {"non_finite:y": 1.0}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import a_module_that_is_not_there", "cannot import metric_"),
        ("raise SystemExit('bye')", "SystemExit: bye"),
        ("def measure(:", "SyntaxError"),
        ("other = 1", "has no measure"),
        ("measure = 3", "is a int; expected a function"),
        ("def measure(b, v): raise KeyError('frames')", "failed: KeyError: 'frames'"),
        ("def measure(b, v): raise SystemExit(0)", "failed: SystemExit: 0"),
        ("def measure(b): return {}", "failed: TypeError"),
        ("def measure(b, v): return 'fine'", "returned 'f'; expected Measurements"),
        ("def measure(b, v): return {'gap': 'small'}", "returned ('gap', 'small')"),
        ("def measure(b, v): return {'gap': True}", "returned ('gap', True)"),
        ("def measure(b, v): return {3: 0.1}", "returned (3, 0.1)"),
        ("def measure(b, v): return 0.1", "failed: TypeError"),
        ("def measure(b, v): return {}", "measured nothing"),
    ],
)
def test_a_metric_that_cannot_be_used_is_refused_by_name(metric: str, text: str, said: str) -> None:
    path = written(metric, text + "\n")
    with pytest.raises(QualityError) as refused:
        compare(NOBODY, [numbers(1.0)], [numbers(1.0)], metric=path)
    assert said in str(refused.value)
    assert metric in str(refused.value)


@pytest.mark.parametrize("path", ["module", "module:", ":function", ":"])
def test_a_metric_must_name_module_and_function(path: str) -> None:
    with pytest.raises(QualityError, match=r"expected package\.module:function"):
        compare(NOBODY, [numbers(1.0)], [numbers(1.0)], metric=path)
