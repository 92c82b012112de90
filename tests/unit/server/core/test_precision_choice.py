"""Policy auto: the order of the candidates, and which one is taken."""

from __future__ import annotations

from collections.abc import Callable

from atheria_contract.optimization import CalibrationConfig, PrecisionConfig
from atheria_server.core.precision import Layer, PrecisionError
from atheria_server.core.precision_choice import Trial, candidates, choose

MEBIBYTE = 1 << 20
AUTO = PrecisionConfig(policy="auto")


def trying(
    trials: dict[str, Trial | str], tried: list[str] | None = None
) -> Callable[[PrecisionConfig], Trial]:
    def try_candidate(config: PrecisionConfig) -> Trial:
        if tried is not None:
            tried.append(config.policy)
        trial = trials[config.policy]
        if isinstance(trial, str):
            raise PrecisionError(trial)
        return trial

    return try_candidate


def passed(mebibytes: int = 1) -> Trial:
    return Trial(passed=True, needed_bytes=mebibytes * MEBIBYTE)


def failed(*reasons: str) -> Trial:
    return Trial(passed=False, needed_bytes=1, reasons=reasons)


def linear(name: str, features: int) -> Layer:
    return Layer(
        name=name,
        kind="Linear",
        in_features=features,
        out_features=features,
        weight_bytes=4 * features * features,
    )


def test_candidates_go_from_the_fewest_bytes_to_fp32() -> None:
    assert [one.policy for one in candidates(AUTO)] == ["nf4", "hierarchy", "int8", "bf16", "fp16", "fp32"]


def test_candidates_are_ordered_by_the_layers_that_there_are() -> None:
    layers = (linear("a", 8), linear("b", 8), linear("c", 1024))
    groups = {"encoder": ("a",), "backbone": ("b",), "head": ("c",)}

    found = [one.policy for one in candidates(AUTO, layers, groups)]

    assert found.index("int8") < found.index("hierarchy") < found.index("fp32")


def test_candidates_keep_what_was_asked_for_and_calibrate_where_there_is_int8() -> None:
    calibration = CalibrationConfig(method="minmax", samples=4)
    config = PrecisionConfig(
        policy="auto", compute="bf16", head="fp32", keep_fp32=("x",), calibration=calibration
    )

    found = {one.policy: one for one in candidates(config)}

    assert {one.compute for one in found.values()} == {"bf16"}
    assert {one.keep_fp32 for one in found.values()} == {("x",)}
    assert found["hierarchy"].head == "fp32"
    assert found["int8"].calibration == found["hierarchy"].calibration == calibration
    assert found["nf4"].calibration.method == found["fp32"].calibration.method == "none"


def test_the_first_that_passes_is_taken_and_the_rest_is_not_tried() -> None:
    tried: list[str] = []
    trials: dict[str, Trial | str] = {
        "nf4": failed("C4_32 is off by 10 %"),
        "hierarchy": passed(2),
        "int8": passed(3),
    }

    choice = choose(candidates(AUTO), trying(trials, tried))

    assert choice.config is not None
    assert choice.config.policy == "hierarchy"
    assert tried == ["nf4", "hierarchy"]
    assert choice.rejected == ("nf4 failed the quality gate: C4_32 is off by 10 %.",)
    assert (
        choice.sentence
        == "hierarchy is the cheapest that passes (1 cheaper was rejected), with 2.00 MiB measured."
    )


def test_what_passes_and_does_not_fit_is_rejected_with_both_sizes() -> None:
    trials: dict[str, Trial | str] = {"nf4": passed(8), "hierarchy": passed(5)}

    choice = choose(candidates(AUTO), trying(trials), memory_limit_bytes=6 * MEBIBYTE)

    assert choice.config is not None
    assert choice.config.policy == "hierarchy"
    assert choice.rejected == ("nf4 passed the quality gate but needs 8.00 MiB, over the limit of 6.00 MiB.",)


def test_what_needs_exactly_the_limit_fits() -> None:
    assert choose([AUTO], trying({"auto": passed(6)}), memory_limit_bytes=6 * MEBIBYTE).config is AUTO


def test_what_cannot_be_applied_is_rejected_with_the_reason() -> None:
    trials: dict[str, Trial | str] = {"nf4": "nf4 is for Linear; use int8", "hierarchy": passed()}

    choice = choose(candidates(AUTO), trying(trials))

    assert choice.rejected == ("nf4 was not tried: nf4 is for Linear; use int8.",)


def test_none_is_taken_when_none_passes_and_each_has_its_sentence() -> None:
    trials: dict[str, Trial | str] = {one.policy: failed("F_8 is 0.1") for one in candidates(AUTO)}

    choice = choose(candidates(AUTO), trying(trials))

    assert choice.config is None
    assert len(choice.rejected) == 6
    assert "raise the memory or the limits of quality" in choice.sentence
