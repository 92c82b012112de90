"""The gate: what fails, what cannot be saved by a limit, and that a verdict is the same after JSON."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_contract.optimization import QualityConfig
from atheria_server.core.quality import Measurement, QualityError
from atheria_server.core.quality_gate import QualityProfile, Verdict, judge, profile_of

DEFAULT = profile_of(QualityConfig())
STRICT = profile_of(QualityConfig(profile="strict"))


def error(name: str, value: float, standard_error: float = 0.0, baseline: float | None = None) -> Measurement:
    variant = None if baseline is None else baseline * (1 + value)
    return Measurement(
        name=name,
        value=value,
        better="lower",
        standard_error=standard_error,
        baseline=baseline,
        variant=variant,
    )


def agreement(name: str, value: float) -> Measurement:
    return Measurement(name=name, value=value, better="higher")


def with_limits(**limits: float) -> QualityProfile:
    return profile_of(QualityConfig(limits=limits))


_FLOATS = st.floats(allow_nan=True, allow_infinity=True)
_MEASUREMENTS = st.lists(
    st.builds(
        Measurement,
        name=st.sampled_from(["F_1", "F_8", "F_16", "C4_16", "C4_32", "S", "error:x", "equal:y", "é"]),
        value=_FLOATS | st.floats(0, 0.2) | st.floats(0.9, 1),
        better=st.sampled_from(["higher", "lower"]),
        standard_error=_FLOATS | st.floats(0, 0.1),
        baseline=st.none() | _FLOATS,
        variant=st.none() | _FLOATS,
    ),
    unique_by=lambda one: one.name,
)
_PROFILES = st.sampled_from([DEFAULT, STRICT, with_limits(C4=0.5, S=0.001)])


@given(_MEASUREMENTS, _PROFILES, st.floats(0, math.inf), st.integers(0, 8))
def test_a_larger_error_or_a_smaller_agreement_never_turns_a_failure_into_a_pass(
    measurements: list[Measurement], profile: QualityProfile, worse: float, index: int
) -> None:
    before = judge(measurements, profile)
    if index >= len(measurements):
        return
    one = measurements[index]
    value = one.value + worse if one.better == "lower" else one.value - worse
    after = judge(
        [*measurements[:index], replace(one, value=value), *measurements[index + 1 :]],
        profile,
    )
    assert before.passed or not after.passed


@given(_MEASUREMENTS, _PROFILES, st.randoms())
def test_the_order_of_the_measurements_does_not_matter(
    measurements: list[Measurement], profile: QualityProfile, random: Random
) -> None:
    shuffled = list(measurements)
    random.shuffle(shuffled)
    assert judge(measurements, profile).to_json() == judge(shuffled, profile).to_json()


@given(_MEASUREMENTS, _PROFILES)
def test_a_verdict_is_the_same_after_json(measurements: list[Measurement], profile: QualityProfile) -> None:
    verdict = judge(measurements, profile)
    text = verdict.to_json()
    again = Verdict.from_json(text)
    assert again.to_json() == text
    assert (again.passed, again.failures, again.summary) == (
        verdict.passed,
        verdict.failures,
        verdict.summary,
    )


@given(_MEASUREMENTS, _PROFILES)
def test_a_verdict_passes_exactly_if_it_has_no_failure(
    measurements: list[Measurement], profile: QualityProfile
) -> None:
    verdict = judge(measurements, profile)
    assert verdict.passed == (not verdict.failures)
    assert len(verdict.judged) == len(measurements)


@pytest.mark.parametrize(
    ("profile", "fidelity", "enough", "too_little"),
    [(DEFAULT, "F_8", 0.98, 0.9799), (STRICT, "F_16", 0.99, 0.9899)],
)
def test_each_profile_judges_its_own_fidelity(
    profile: QualityProfile, fidelity: str, enough: float, too_little: float
) -> None:
    others = [agreement(f"F_{steps}", 0.1) for steps in (1, 8, 16, 32) if f"F_{steps}" != fidelity]
    assert judge([agreement(fidelity, enough), *others], profile).passed
    verdict = judge([agreement(fidelity, too_little), *others], profile)
    assert len(verdict.failures) == 1
    assert verdict.failures[0].startswith(f"{fidelity} is {too_little:.4g}, allowed is at least {enough}")


@pytest.mark.parametrize(("profile", "limit"), [(DEFAULT, 0.05), (STRICT, 0.02)])
def test_each_profile_has_one_limit_for_all_errors(profile: QualityProfile, limit: float) -> None:
    assert judge([error("C4_16", limit), error("S_16", limit)], profile).passed
    assert not judge([error("C4_16", limit * 1.001)], profile).passed


@given(st.floats(0.0501, 10), st.floats(0, 10))
def test_an_error_over_its_limit_fails_only_beyond_two_standard_errors(
    value: float, standard_error: float
) -> None:
    verdict = judge([error("C4_16", value, standard_error)], DEFAULT)
    assert verdict.passed == (value <= 2 * standard_error)
    assert verdict.judged[0].outcome == ("within noise" if verdict.passed else "failed")


def test_a_standard_error_does_not_save_an_agreement() -> None:
    assert not judge([replace(agreement("F_8", 0.97), standard_error=1.0)], DEFAULT).passed


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("better", ["higher", "lower"])
@pytest.mark.parametrize("profile", [DEFAULT, STRICT, with_limits(C4=1e300, F_32=-1e300)])
def test_a_value_that_is_not_finite_fails_under_every_profile(
    value: float, better: str, profile: QualityProfile
) -> None:
    verdict = judge(
        [
            Measurement(name="C4", value=value, better=better, standard_error=1e300),  # type: ignore[arg-type]
            agreement("F_8", 1.0),
            agreement("F_32", value),
        ],
        profile,
    )
    assert {one.measurement.name for one in verdict.judged if one.outcome == "failed"} == {"C4", "F_32"}


@pytest.mark.parametrize("standard_error", [math.nan, math.inf, -0.1])
def test_a_standard_error_that_is_none_does_not_save_an_error(standard_error: float) -> None:
    assert not judge([error("C4", 0.01, standard_error)], DEFAULT).passed


def test_outputs_that_are_not_finite_fail_under_every_profile_and_are_told_apart() -> None:
    measurements = [Measurement(name="non_finite:state", value=7, better="lower", standard_error=100)]
    for profile in (DEFAULT, STRICT):
        verdict = judge(measurements, profile)
        assert not verdict.passed
        assert not verdict.is_finite
        assert "output state has 7 values that are NaN or infinite" in verdict.failures[0]
        assert len(verdict.failures) == 1
    assert judge([error("C4", 1.0)], DEFAULT).is_finite


def test_a_failure_names_the_metric_the_value_the_limit_and_the_next_step() -> None:
    verdict = judge([error("C4_32", 0.101, 0.019, baseline=0.181)], DEFAULT)
    assert len(verdict.failures) == 1
    assert (
        verdict.failures[0]
        == verdict.summary
        == (
            "C4_32 is off by 10.1 % (0.181 -> 0.1993, standard error 1.9 %), allowed is at most 5 %: use precision.policy "
            "hierarchy, keep the layers that matter by precision.keepFp32, or, if this is good enough for you, "
            "set quality.limits.C4_32"
        )
    )


def test_the_summary_of_a_pass_names_what_came_closest_to_its_limit() -> None:
    verdict = judge([error("C4", 0.01), error("G", 0.04), agreement("F_8", 0.999)], DEFAULT)
    assert verdict.summary == "passed profile default; closest: G is 0.04, limit 0.05"


def test_a_limit_for_one_metric_goes_over_that_of_the_profile() -> None:
    measurements = [error("C4_16", 0.03), error("C4_32", 0.08), error("G_32", 0.04)]
    assert not judge(measurements, DEFAULT).passed
    assert judge(measurements, with_limits(C4_32=0.1)).passed
    assert judge(measurements, with_limits(C4=0.1)).passed
    assert [text[:5] for text in judge(measurements, with_limits(C4=0.01, C4_32=0.1)).failures] == ["C4_16"]


def test_a_limit_may_gate_a_fidelity_that_the_profile_only_tells() -> None:
    measurements = [agreement("F_8", 1.0), agreement("F_32", 0.9)]
    assert judge(measurements, DEFAULT).passed
    assert not judge(measurements, with_limits(F_32=0.95)).passed


def test_a_limit_for_something_that_was_not_measured_fails() -> None:
    verdict = judge([error("C4_16", 0.0)], with_limits(C5=0.1))
    assert "quality.limits.C5 has a limit, but C5 was not measured; measured: C4_16" in verdict.failures[0]


def test_the_fidelity_of_the_profile_must_have_been_measured_where_others_were() -> None:
    verdict = judge([agreement("F_1", 1.0)], DEFAULT)
    assert "profile default judges F_8, but only F_1 was measured" in verdict.failures[0]
    assert judge([error("error:y", 0.0)], DEFAULT).passed


def test_nothing_measured_proves_nothing() -> None:
    assert "nothing was measured" in judge([], DEFAULT).failures[0]


def test_profile_off_never_passes() -> None:
    off = profile_of(QualityConfig(profile="off", allow_unvalidated=True))
    verdict = judge([error("C4", 0.0)], off)
    assert verdict.failures == ("quality.profile is off: nothing was proved; use profile default or strict",)
    assert not judge([Measurement(name="non_finite:y", value=1, better="lower")], off).is_finite


def test_a_name_that_comes_twice_is_refused() -> None:
    with pytest.raises(QualityError, match="C4 was measured 2 times"):
        judge([error("C4", 0.0), error("C4", 1.0)], DEFAULT)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (QualityConfig(profile="lenient"), "quality.profile is 'lenient'; allowed: default, strict, off"),
        (QualityConfig(profile="off"), "set quality.allowUnvalidated too"),
        (QualityConfig(ensemble=1), "quality.ensemble is 1; expected at least 2"),
        (QualityConfig(limits={"C4": math.nan}), "quality.limits.C4 is nan; expected a finite number"),
        (QualityConfig(limits={"C4": math.inf}), "quality.limits.C4 is inf"),
        (QualityConfig(limits={"C4": True}), "quality.limits.C4 is True"),
        (QualityConfig(limits={"C4": "2 %"}), "quality.limits.C4 is '2 %'"),  # type: ignore[dict-item]
        (QualityConfig(limits={"non_finite:state": 5.0}), "NaN and infinity are never allowed"),
    ],
)
def test_settings_that_make_no_gate_are_refused(config: QualityConfig, said: str) -> None:
    with pytest.raises(QualityError) as refused:
        profile_of(config)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"passed": "perhaps", "profile": "default", "failures": [], "judged": []}',
        '{"passed": true, "profile": "default", "failures": [], "judged": [{"measurement": {}}]}',
        '{"passed": true, "profile": "default", "failures": "none", "judged": []}',
    ],
)
def test_other_json_is_no_verdict(text: str) -> None:
    with pytest.raises(QualityError, match="this is not a verdict"):
        Verdict.from_json(text)
