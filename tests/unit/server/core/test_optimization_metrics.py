"""What an option is worth: memory saved, speed-up and accuracy lost against none, and no ratio where the rounds disagree."""

from __future__ import annotations

import json
import math

import pytest

from atheria_server.core.checklist import Checklist
from atheria_server.core.optimization_metrics import (
    OptimizationMetrics,
    OptionRun,
    compare,
    differing_share,
    figures,
    kept_figures,
    kept_loss,
    lines,
)
from atheria_server.core.timings import Ratio, Timings


def run(name: str, seconds: float, size: int, *texts: tuple[int, ...], rounds: int = 5) -> OptionRun:
    return OptionRun(name=name, timings=Timings(seconds=(seconds,) * rounds), bytes=size, texts=texts)


def test_an_option_is_compared_with_none_of_them() -> None:
    found = compare(run("none", 3.0, 100, (1, 2), (3, 4)), run("fast", 1.0, 130, (1, 2), (3, 5)))
    assert (found.name, found.memory_saved_bytes, found.accuracy_loss) == ("fast", -30, 0.25)
    assert found.speed_up.median == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("some", "others", "share"),
    [
        ([(1, 2)], [(1, 2)], 0.0),
        ([(1, 2)], [(2, 1)], 1.0),
        ([(1, 2, 3)], [(1,)], 2 / 3),
        ([(), ()], [(), (1,)], 1.0),
        ([], [], 0.0),
    ],
)
def test_what_only_one_text_has_differs(
    some: list[tuple[int, ...]], others: list[tuple[int, ...]], share: float
) -> None:
    assert differing_share(some, others) == pytest.approx(share)
    assert differing_share(others, some) == pytest.approx(share)


def test_other_texts_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="1 texts against 2"):
        differing_share([(1,)], [(1,), (2,)])


def test_rounds_that_disagree_give_no_speed_up_but_the_other_figures() -> None:
    unclear = OptimizationMetrics(
        name="a",
        memory_saved_bytes=5,
        speed_up=Ratio(values=(1.0, 9.0, 1.0, 1.0, 1.0)),
        accuracy_loss=0.125,
    )
    clear = OptimizationMetrics(
        name="b", memory_saved_bytes=-5, speed_up=Ratio(values=(2.0,) * 5), accuracy_loss=0.0
    )
    assert figures([unclear, clear]) == {
        "aSavedBytes": 5,
        "aLoss": 0.125,
        "bSpeedUp": 2.0,
        "bSavedBytes": -5,
        "bLoss": 0.0,
    }
    told = {line.name: line.result for line in lines([unclear, clear], loss="tokens that differ", note="")}
    assert told == {
        "a: speed-up": "n/a",
        "a: memory saved": "told",
        "a: tokens that differ": "told",
        "b: speed-up": "told",
        "b: memory saved": "told",
        "b: tokens that differ": "told",
    }


def test_all_options_together_fit_the_summary() -> None:
    names = (
        "weights",
        "kvCache",
        "attention",
        "prefixReuse",
        "continuousBatching",
        "speculation",
        "combined",
    )
    found = [
        OptimizationMetrics(
            name=name,
            memory_saved_bytes=-123_456_789_012,
            speed_up=Ratio(values=(12.34,) * 5),
            accuracy_loss=0.1234,
        )
        for name in names
    ]
    shown = {"precision": "hierarchy", "tokensPerSecond": 123456.7, **figures(found, most_loss=0.0625)}
    summary = json.loads(
        Checklist(
            subject="s", lines=tuple(lines(found, loss="tokens that differ", note="")), figures=shown
        ).summary()
    )
    assert shown.items() <= summary.items()


def test_a_kept_summary_is_read_back_by_option_and_anything_else_in_it_is_passed_over() -> None:
    one = OptimizationMetrics(
        name="kvCache", memory_saved_bytes=7, speed_up=Ratio(values=(2.0,) * 5), accuracy_loss=0.5
    )
    summary = {
        "passed": True,
        "counts": {"pass": 1},
        "precision": "int8",
        "Loss": 1,
        "textLoss": "much",
        "flagLoss": True,
        **figures([one]),
    }
    assert sorted(kept_figures(summary)) == [
        ("kvCache", "Loss", 0.5),
        ("kvCache", "SavedBytes", 7.0),
        ("kvCache", "SpeedUp", 2.0),
    ]


@pytest.mark.parametrize(("most", "result"), [(None, "told"), (0.1, "fail"), (0.2, "pass")])
def test_a_limit_is_for_what_all_options_together_lose(most: float | None, result: str) -> None:
    ratio = Ratio(values=(2.0,) * 5)
    found = [
        OptimizationMetrics(name=name, memory_saved_bytes=0, speed_up=ratio, accuracy_loss=0.15)
        for name in ("kvCache", "combined")
    ]
    told = {line.name: line.result for line in lines(found, loss="loss", note="", most_loss=most)}
    assert (told["kvCache: loss"], told["combined: loss"]) == ("told", result)


def one_with(name: str, loss: float) -> OptimizationMetrics:
    ratio = Ratio(values=(2.0,) * 5)
    return OptimizationMetrics(name=name, memory_saved_bytes=0, speed_up=ratio, accuracy_loss=loss)


NO_NUMBER = float("nan")


@pytest.mark.parametrize(
    ("found", "most", "expected"),
    [
        ([one_with("weights", 0.01), one_with("combined", 0.03)], 0.02, ("combined", 0.03, 0.02)),
        ([one_with("weights", 0.03), one_with("combined", 0.01)], 0.02, ("combined", 0.01, 0.02)),
        ([one_with("kvCache", 0.04)], 0.02, ("kvCache", 0.04, 0.02)),
        ([one_with("kvCache", 0.04)], None, None),
        ([one_with("kvCache", NO_NUMBER)], 0.02, ("kvCache", math.inf, 0.02)),
        ([one_with("weights", 0.01), one_with("combined", NO_NUMBER)], 0.02, ("combined", math.inf, 0.02)),
        (
            [one_with("weights", 0.01), one_with("kvCache", 0.01), one_with("combined", math.inf)],
            0.02,
            ("combined", math.inf, 0.02),
        ),
        ([], 0.02, None),
    ],
)
def test_what_all_options_together_lose_is_kept_with_what_is_allowed_and_no_number_is_the_worst_loss(
    found: list[OptimizationMetrics], most: float | None, expected: tuple[str, float, float] | None
) -> None:
    summary = json.loads(json.dumps(figures(found, most_loss=most), allow_nan=False))
    judged = kept_loss(summary)
    assert (judged and (judged.option, judged.loss, judged.limit)) == expected
    assert {option for option, _, _ in kept_figures(summary)} == {one.name for one in found}


@pytest.mark.parametrize("loss", [0.01, 0.020004, 0.03, NO_NUMBER])
def test_what_is_kept_is_too_much_where_the_evaluation_says_that_it_fails(loss: float) -> None:
    found = [one_with("weights", 0.01), one_with("combined", loss)]
    *_, last = lines(found, loss="loss", note="", most_loss=0.02)
    judged = kept_loss(json.loads(json.dumps(figures(found, most_loss=0.02))))
    assert judged is not None
    assert judged.is_too_much == (last.result == "fail")


def test_what_the_limit_is_for_is_kept_where_the_summary_has_no_room_for_all() -> None:
    found = [one_with(f"an option of a long name {number}", 0.01) for number in range(9)]
    found.append(one_with("combined", 0.03))
    told = figures(found, most_loss=0.02)
    summary = json.loads(Checklist(subject="s", lines=(), figures=told).summary())
    assert summary.keys() < {*told, "passed", "counts", "failed"}
    judged = kept_loss(summary)
    assert judged is not None
    assert (judged.option, judged.loss) == ("combined", 0.03)


@pytest.mark.parametrize(
    "wrong",
    [
        {"lossLimit": "0.1"},
        {"lossLimit": True},
        {"lossOf": 7},
        {"lossOf": None},
        {"combinedLoss": "much"},
        {"lossLimit": 10**400},
    ],
)
def test_a_kept_summary_that_somebody_wrote_is_not_believed_to_have_figures(wrong: dict[str, object]) -> None:
    written = {"combinedLoss": 0.5, "lossOf": "combined", "lossLimit": 0.1}
    assert kept_loss(written) is not None
    assert kept_loss({**written, **wrong}) is None


def test_a_loss_that_is_not_in_the_summary_is_not_taken_for_one_that_is_no_number() -> None:
    assert kept_loss({"weightsLoss": 0.01, "lossOf": "combined", "lossLimit": 0.1}) is None


@pytest.mark.parametrize("loss", ["NaN", "-Infinity", "1e400", "1" + 400 * "0", "-1" + 400 * "0"])
def test_a_kept_loss_that_is_not_finite_or_too_large_for_a_float_is_too_much(loss: str) -> None:
    summary = json.loads(f'{{"combinedLoss": {loss}, "lossOf": "combined", "lossLimit": 0.1}}')
    judged = kept_loss(summary)
    assert judged is not None
    assert (judged.loss, judged.is_too_much) == (math.inf, True)


def test_a_kept_figure_that_is_too_large_for_a_float_is_passed_over() -> None:
    assert list(kept_figures({"weightsSavedBytes": 10**400, "weightsLoss": 0.5})) == [
        ("weights", "Loss", 0.5)
    ]
