"""Measures what each step of the optimisation is worth, side by side: batch, compilation, precision.

A step that was not asked for is not measured, and its factor is 1. Called by `evaluate` and `economics`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from atheria_contract.serving import ServingConfig
from atheria_server.core.batch_time import BatchTime, fit_batch_time
from atheria_server.core.cost_table import Chain
from atheria_server.core.timings import NO_RATIO, Ratio, Timings, times_faster
from atheria_server.models.contract import Scalar
from atheria_server.optimize.evaluation.variants import (
    Variant,
    as_written,
    build_variant,
    only_compiled,
    only_narrowed,
)
from atheria_server.optimize.profiling.calls import sample_call
from atheria_server.optimize.profiling.rounds import CLOCKS, interleaved, load_average

EAGER: Final = "eager"
COMPILED: Final = "compiled"
NARROW: Final = "narrow"
FULL: Final = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Seconds of a batch by variant and rows, all of the same rounds."""

    variants: Mapping[str, Variant]
    """In the order of the steps: EAGER always, then COMPILED and FULL where they were asked for and differ; NARROW before FULL where
    each option alone was asked for, and is not FULL itself."""
    timings: Mapping[str, Mapping[int, Timings]]
    rows: tuple[int, ...]
    load_average: float
    clock: str = "wall"
    """One of CLOCKS: what the seconds are."""

    @property
    def last(self) -> str:
        """The variant with everything that was asked for."""
        return list(self.variants)[-1]

    def batch_time(self, variant: str) -> BatchTime:
        """t(B), fitted to the medians."""
        return fit_batch_time([(rows, one.median) for rows, one in self.timings[variant].items()])

    @property
    def best_rows(self) -> int:
        """The measured batch with the most rows per second, of the last variant."""
        times = self.timings[self.last]
        return max(self.rows, key=lambda rows: rows / times[rows].median)

    def chain(self) -> Chain:
        """Seconds of an inference after each step, with the measured ratio of the step as its note."""
        rows = self.best_rows
        naive = self.timings[EAGER][self.rows[0]]
        before = _per_row(naive, self.rows[0])
        steps = []
        for name, variant in (("batch", EAGER), ("compile", COMPILED), ("precision", FULL)):
            if variant not in self.timings:
                steps.append((name, before.median, "not asked for"))
                continue
            after = _per_row(self.timings[variant][rows], rows)
            ratio = times_faster(before, after)
            steps.append((name, after.median, self._note(name, rows, ratio)))
            before = after
        return Chain(naive=_per_row(naive, self.rows[0]).median, steps=steps, basis="measured")

    def undecided(self) -> list[str]:
        """Steps whose rounds disagree by more than the step's factor, so that it is not a result."""
        return [name for name, _, note in self.chain().steps if NO_RATIO in note]

    def total(self) -> Ratio:
        """How many times as many inferences per second as one alone in eager fp32, round by round."""
        first, rows = self.rows[0], self.best_rows
        return times_faster(
            _per_row(self.timings[EAGER][first], first), _per_row(self.timings[self.last][rows], rows)
        )

    def _note(self, name: str, rows: int, ratio: Ratio) -> str:
        return f"{rows} rows; {ratio.text()}" if name == "batch" else ratio.text()


def measure_chain(
    config: ServingConfig,
    device: str,
    *,
    rows: Sequence[int],
    parameters: Mapping[str, Scalar],
    rounds: int,
    clock: str = "wall",
    each_alone: bool = False,
) -> Measured:
    """Build each variant that the configuration asks for and time all of them in interleaved rounds; `each_alone`: precision without
    compilation, too, which is no step of the chain.

    Raises SourceError, ModelRefusedError, InvalidRequestError and what the model's own code raises.
    """
    before = load_average()
    variants = {EAGER: build_variant(as_written(config), device)}
    if config.compile.mode != "off":
        variants[COMPILED] = build_variant(only_compiled(config), device)
    if config.precision.policy != "fp32":
        if each_alone and COMPILED in variants:
            variants[NARROW] = build_variant(only_narrowed(config), device)
        variants[FULL] = build_variant(config, device)
    shape = config.warmup_shapes[0] if config.warmup_shapes else ()
    work: dict[str, Callable[[], object]] = {}
    for name, variant in variants.items():
        for size in rows:
            call = sample_call(variant.loaded.api, shape, rows=size, parameters=parameters)
            work[f"{name} {size}"] = variant.predict(call)
    timed = interleaved(work, rounds, clock=CLOCKS[clock])
    return Measured(
        variants=variants,
        timings={name: {size: timed[f"{name} {size}"] for size in rows} for name in variants},
        rows=tuple(rows),
        load_average=before,
        clock=clock,
    )


def _per_row(timings: Timings, rows: int) -> Timings:
    return Timings(seconds=tuple(value / rows for value in timings.seconds))
