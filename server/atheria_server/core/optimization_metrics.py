"""What each option of an optimised model is worth: memory saved, speed-up, accuracy lost, each alone and all together. Pure.

Filled by `optimize.evaluation`; `lines` and `figures` are its part of a `Checklist` and of the status, `kept_figures` reads the
latter back for the metrics.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

from atheria_server.core.checklist import Line, checked, not_measurable
from atheria_server.core.timings import Ratio, Timings, times_faster

COMBINED: Final = "combined"
SPEED_UP: Final = "SpeedUp"
SAVED_BYTES: Final = "SavedBytes"
LOSS: Final = "Loss"
LOSS_LIMIT: Final = "lossLimit"
"""Of a summary: what all options together may lose."""
LOSS_OF: Final = "lossOf"
"""Of a summary: whose loss that limit is for, COMBINED or an option that is alone."""
FIGURES: Final = (SPEED_UP, SAVED_BYTES, LOSS)
"""Endings of the keys of a summary, behind an option's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionRun:
    """The same texts, made with some options on."""

    name: str
    timings: Timings
    """Seconds for all texts."""
    bytes: int
    """Weights, and keys and values at their most."""
    texts: tuple[tuple[int, ...], ...]
    """Tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedLoss:
    """What all options together lose, against what they were allowed when that was measured."""

    option: str
    """COMBINED, or the option that is alone."""
    loss: float
    """Infinite where what was measured is no finite number."""
    limit: float

    @property
    def is_too_much(self) -> bool:
        """As the evaluation's own line judges."""
        return self.loss > self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizationMetrics:
    """Of one option against none."""

    name: str
    memory_saved_bytes: int
    """Below 0: it takes more."""
    speed_up: Ratio
    accuracy_loss: float
    """Of texts the share of places, 0 to 1, at which the greedy ones have another token; a difference counts for all that follows from
    it. Of tensors the relative error of the worst output."""


def compare(off: OptionRun, on: OptionRun) -> OptimizationMetrics:
    """`off` without any option. Raises ValueError where the runs have other numbers of rounds or texts."""
    return OptimizationMetrics(
        name=on.name,
        memory_saved_bytes=off.bytes - on.bytes,
        speed_up=times_faster(off.timings, on.timings),
        accuracy_loss=differing_share(off.texts, on.texts),
    )


def differing_share(some: Sequence[Sequence[int]], others: Sequence[Sequence[int]]) -> float:
    """Share of places at which two lists of texts differ; what only one has differs. Raises ValueError."""
    if len(some) != len(others):
        raise ValueError(f"{len(some)} texts against {len(others)}; make the same ones")
    places = [pair for one, other in zip(some, others, strict=True) for pair in zip_longest(one, other)]
    differing = sum(1 for one, other in places if one != other)
    return differing / max(1, len(places))


def lines(
    found: Sequence[OptimizationMetrics], *, loss: str, note: str, most_loss: float | None = None
) -> list[Line]:
    """Three for each option, told without a limit but for `most_loss`, which is that of all together (the last); `loss` and `note` say
    what the accuracy lost is."""
    made: list[Line] = []
    for one in found:
        ratio = one.speed_up
        speed = f"{one.name}: speed-up"
        made += [
            checked(speed, ratio.median, None, better="higher", unit="x", note=ratio.text())
            if ratio.is_result
            else not_measurable(speed, ratio.text()),
            checked(f"{one.name}: memory saved", one.memory_saved_bytes, None, better="higher", unit="bytes"),
            checked(
                f"{one.name}: {loss}",
                one.accuracy_loss,
                most_loss if one is found[-1] else None,
                note=note,
            ),
        ]
    return made


def figures(
    found: Sequence[OptimizationMetrics], *, most_loss: float | None = None
) -> dict[str, float | str | None]:
    """By option and figure, for the summary; a speed-up whose rounds disagree, and a loss that is no number, are left out. But the loss
    that `most_loss` limits stands first, as a summary without room loses its last ones, not rounded, and as None where it is no number."""
    told: dict[str, float | str | None] = {}
    if most_loss is not None and found:
        judged = found[-1]
        loss = judged.accuracy_loss if math.isfinite(judged.accuracy_loss) else None
        told = {LOSS_LIMIT: most_loss, LOSS_OF: judged.name, judged.name + LOSS: loss}
    for one in found:
        if one.speed_up.is_result:
            told[one.name + SPEED_UP] = round(one.speed_up.median, 2)
        told[one.name + SAVED_BYTES] = one.memory_saved_bytes
        if math.isfinite(one.accuracy_loss):
            told.setdefault(one.name + LOSS, round(one.accuracy_loss, 4))
    return told


def kept_figures(summary: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    """(option, one of FIGURES, value) of what `figures` told; anything else of a summary is passed over."""
    for key, value in summary.items():
        for figure in FIGURES:
            option = key.removesuffix(figure)
            if option and option != key and (number := _number(value)) is not None:
                yield option, figure, number


def kept_loss(summary: Mapping[str, Any]) -> JudgedLoss | None:
    """Of what `figures` told with a limit; None of any other summary."""
    option, limit = summary.get(LOSS_OF), _number(summary.get(LOSS_LIMIT))
    if not isinstance(option, str) or limit is None or option + LOSS not in summary:
        return None
    told = summary[option + LOSS]
    if not (told is None or _is_numeric(told)):
        return None
    loss = _number(told)
    return JudgedLoss(option=option, loss=math.inf if loss is None else loss, limit=limit)


def _number(value: Any) -> float | None:
    """A finite one. JSON as it is read has NaN, infinity, and whole numbers that no float holds."""
    if not _is_numeric(value):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _is_numeric(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
