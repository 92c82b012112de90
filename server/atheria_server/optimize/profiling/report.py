"""The report of `profile`: what was measured of a model, and the bottleneck that it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

from atheria_server.core.batch_time import BatchTime, fit_batch_time
from atheria_server.core.bottleneck import Bottleneck, Observed, find_bottleneck
from atheria_server.core.timings import Timings
from atheria_server.models.contract import Scalar
from atheria_server.optimize.loaded import LoadedModel
from atheria_server.optimize.profiling.calls import sample_call
from atheria_server.optimize.profiling.operations import Operations, count_operations, launch_seconds
from atheria_server.optimize.profiling.rounds import CLOCKS, interleaved, load_average
from atheria_server.optimize.profiling.stages import measure_stages

STAGE_ROUNDS: Final = 5
"""At least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """All of it."""

    source: str
    device: str
    stages: Mapping[str, Timings]
    operations: Operations
    launch_seconds: float
    batches: Mapping[int, Timings]
    """Seconds of a batch by rows."""
    batch_time: BatchTime
    bottleneck: Bottleneck
    load_average: float
    """Of the machine, before the measurement."""

    @property
    def points(self) -> list[tuple[int, float]]:
        """(rows, seconds) of every round."""
        return [(rows, s) for rows, timings in self.batches.items() for s in timings.seconds]

    @property
    def loading_share(self) -> float:
        """Part of a call's time before the model has its tensors: decode, validate and copy."""
        total = sum(timings.median for timings in self.stages.values())
        return sum(self.stages[name].median for name in ("decode", "validate", "copy")) / total

    def to_json(self) -> dict[str, Any]:
        """For `--output json`."""
        total = sum(timings.median for timings in self.stages.values())
        return {
            "source": self.source,
            "device": self.device,
            "load_average": self.load_average,
            "stages": {
                name: {
                    "median_seconds": one.median,
                    "low_seconds": one.low,
                    "high_seconds": one.high,
                    "share": one.median / total,
                }
                for name, one in self.stages.items()
            },
            "loading_share": self.loading_share,
            "operations": asdict(self.operations),
            "launch_seconds": self.launch_seconds,
            "batches": {
                str(rows): {
                    "median_seconds": one.median,
                    "low_seconds": one.low,
                    "high_seconds": one.high,
                    "rounds": len(one.seconds),
                }
                for rows, one in self.batches.items()
            },
            "batch_time": asdict(self.batch_time) | {"gain_limit": self.batch_time.gain_limit},
            "bottleneck": asdict(self.bottleneck),
        }


def profile_model(
    loaded: LoadedModel,
    *,
    source: str,
    shape: Sequence[int] = (),
    parameters: Mapping[str, Scalar] | None = None,
    row_sizes: Sequence[int] = (1, 2, 4, 8, 16),
    rounds: int = 7,
    clock: str = "wall",
) -> Profile:
    """Measure a loaded model. Raises InvalidRequestError, FailedError, and ValueError for a single batch size."""
    before = load_average()
    calls = {rows: sample_call(loaded.api, shape, rows=rows, parameters=parameters) for rows in row_sizes}
    batches = {rows: loaded.batch(call) for rows, call in calls.items()}

    def compute(rows: int) -> object:
        return loaded.api.predict(batches[rows])

    timed = interleaved(
        {str(rows): partial(compute, rows) for rows in row_sizes}, rounds, clock=CLOCKS[clock]
    )
    by_rows = {int(rows): timings for rows, timings in timed.items()}
    line = fit_batch_time([(rows, one.median) for rows, one in by_rows.items()])
    stages = measure_stages(loaded, calls[row_sizes[0]], max(rounds, STAGE_ROUNDS), CLOCKS[clock])
    # The profiler's times are those that passed, so its share needs that clock, too.
    operations = count_operations(partial(compute, row_sizes[0]), device=loaded.device)
    launch = launch_seconds(loaded.device, CLOCKS[clock])
    verdict = find_bottleneck(
        Observed(
            stage_seconds={name: one.median for name, one in stages.items()},
            busy_share=operations.busy_share,
            launches=operations.launches,
            launch_seconds=launch,
            arithmetic_share=operations.arithmetic_share,
            batch_time=line,
        )
    )
    return Profile(
        source=source,
        device=loaded.device,
        stages=stages,
        operations=operations,
        launch_seconds=launch,
        batches=by_rows,
        batch_time=line,
        bottleneck=verdict,
        load_average=before,
    )


def markdown(found: Profile) -> str:
    """The report for people."""
    total = sum(timings.median for timings in found.stages.values())
    line, operations = found.batch_time, found.operations
    unit = "kernels" if found.device.startswith("cuda") else "operations"
    smallest = min(found.batches)
    per_row = found.batches[smallest].median / smallest
    around = (
        f"Before the model has its tensors: {found.loading_share:.1%} of the call. Model: {operations.launches} {unit} "
        f"a call, {1e6 * found.launch_seconds:.1f} µs to start one (measured); {operations.busy_share:.0%} of its time "
        f"is in them, {operations.arithmetic_share:.0%} of that in matrix products and convolutions."
    )
    fitted = (
        f"t(B) = {1e3 * line.fixed_seconds:.3f} ms + {1e3 * line.row_seconds:.3f} ms · B, R² {line.r_squared:.3f}; "
        f"largest gain {line.gain_limit:.2f}; {line.useful_rows(max(found.batches))} rows reach most of it."
    )
    return "\n".join(
        [
            f"# Profile of {found.source} on {found.device}",
            "",
            f"**{found.bottleneck.sentence}** Next: {found.bottleneck.advice}.",
            "",
            f"Load of the machine before: {found.load_average:.1f}. Medians of rounds (fastest - slowest).",
            "",
            "| stage of one call | ms | share |",
            "|---|---|---|",
            *(
                f"| {name} | {milliseconds(one)} | {one.median / total:.0%} |"
                for name, one in found.stages.items()
            ),
            "",
            around,
            "",
            "| operation | a call | ms |",
            "|---|---|---|",
            *(f"| {one.name} | {one.count} | {1e3 * one.seconds:.3f} |" for one in operations.top),
            "",
            "| rows | ms | rows/s | gain |",
            "|---|---|---|---|",
            *(
                f"| {rows} | {milliseconds(one)} | {rows / one.median:.0f} | {rows * per_row / one.median:.2f} |"
                for rows, one in found.batches.items()
            ),
            "",
            fitted,
            "",
        ]
    )


def milliseconds(one: Timings) -> str:
    """`1.234 (1.100 - 1.500)`: median, fastest and slowest round."""
    return f"{1e3 * one.median:.3f} ({1e3 * one.low:.3f} - {1e3 * one.high:.3f})"
