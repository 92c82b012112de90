"""The report of `evaluate`: a variant of a model against the same model as it is written, check by check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atheria_contract.serving import ServingConfig
from atheria_server.core.checklist import Checklist, Line, checked, lines_of_quality, not_measurable
from atheria_server.core.economics import cost_per_thousand
from atheria_server.core.optimization_metrics import figures
from atheria_server.core.optimization_metrics import lines as option_lines
from atheria_server.core.timings import Timings
from atheria_server.models.contract import Scalar, WarmupCall
from atheria_server.optimize.evaluation.chain import EAGER, Measured, measure_chain
from atheria_server.optimize.evaluation.resources import Resources, measure_resources
from atheria_server.optimize.evaluation.tables import price_of, read_devices, read_prices
from atheria_server.optimize.evaluation.tensor_options import measure_options
from atheria_server.optimize.evaluation.this_device import this_device
from atheria_server.optimize.evaluation.variants import Variant, for_measuring
from atheria_server.optimize.profiling.calls import sample_call
from atheria_server.optimize.profiling.rounds import CLOCKS
from atheria_server.optimize.profiling.stages import measure_stages

BUSY_GOALS: Final = (0.75, 0.80)
LOADING_LIMIT: Final = 0.2
FRAGMENTATION_LIMIT: Final = 0.1
LATENCY_CALLS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the user asks of it; None = told, not judged."""

    p99_seconds: float | None = None
    usd_per_thousand: float | None = None
    loss: float | None = None
    """Of all options together."""


def evaluate(
    config: ServingConfig,
    device: str,
    *,
    rows: Sequence[int],
    parameters: Mapping[str, Scalar],
    rounds: int,
    limits: Limits,
    prices_file: Path | None = None,
    price_name: str = "",
    clock: str = "wall",
) -> Checklist:
    """Measure and judge; `price_name` "" = that of this device. Raises SourceError, ModelRefusedError, InvalidRequestError, TableError."""
    price = price_of(read_prices(prices_file), price_name or this_device(device, read_devices()))
    measured = measure_chain(
        for_measuring(config, max(rows)),
        device,
        rows=rows,
        parameters=parameters,
        rounds=rounds,
        clock=clock,
        each_alone=True,
    )
    last = measured.variants[measured.last]
    shape = config.warmup_shapes[0] if config.warmup_shapes else ()
    single = sample_call(last.loaded.api, shape, rows=rows[0], parameters=parameters)
    batch = sample_call(last.loaded.api, shape, rows=measured.best_rows, parameters=parameters)
    resources = measure_resources(last.predict(batch), device, measured.best_rows)
    stages = measure_stages(last.loaded, single, rounds)
    options = measure_options(measured, batch, device)
    latencies = _latencies(last, single, CLOCKS[clock])
    naive_usd = cost_per_thousand(price.usd_per_hour, measured.chain().naive)
    usd = cost_per_thousand(price.usd_per_hour, measured.chain().steps[-1][1])
    lines = [
        *_quality(last),
        *_speed(measured),
        *_latency(latencies, limits),
        *_fallbacks(last),
        *_memory(measured.variants[EAGER], last, resources),
        *_busy(resources, stages, device),
        _optional("joules per inference", resources.joules_per_row, resources.joules_note, "J"),
        checked(
            "cost per 1000, busy",
            usd,
            min(naive_usd, limits.usd_per_thousand or naive_usd),
            unit="USD",
            note=f"alone in eager fp32: {naive_usd:.3g} USD; {price.source}, {price.date}",
        ),
        _goodput(usd, latencies, limits),
        *option_lines(options, loss="answers move by", note="the worst output", most_loss=limits.loss),
    ]
    return Checklist(
        subject=f"{config.source}, precision {config.precision.policy}, compile {config.compile.mode}, {device}",
        lines=tuple(lines),
        figures={
            "precision": config.precision.policy,
            "compile": config.compile.mode,
            "rowsPerSecond": round(measured.best_rows / _best(measured).median, 1),
            "p99Ms": round(1e3 * latencies.quantile(0.99), 3),
            "usdPer1000": float(f"{usd:.3g}"),
            "naiveUsdPer1000": float(f"{naive_usd:.3g}"),
            "costBasis": "measured",
            "peakBytes": resources.peak_bytes,
            "busyShare": round(resources.busy_share, 3),
            **figures(options, most_loss=limits.loss),
        },
    )


def _quality(last: Variant) -> list[Line]:
    quality = last.report["quality"]
    message = str(quality["message"] or quality["reason"])
    return lines_of_quality(quality["measurements"], passed=quality["passed"], message=message)


def _speed(measured: Measured) -> list[Line]:
    rows = measured.best_rows
    ratio = measured.total()
    lines = [
        checked(
            "throughput",
            rows / _best(measured).median,
            None,
            better="higher",
            unit="rows/s",
            note=f"batches of {rows}",
        )
    ]
    if ratio.is_result:
        note = f"in the rounds {ratio.low:.2f} to {ratio.high:.2f}"
        lines.append(
            checked(
                "throughput by that of one alone in eager fp32", ratio.median, 1.0, better="higher", note=note
            )
        )
    else:
        lines.append(not_measurable("throughput by that of one alone in eager fp32", ratio.text()))
    return lines


def _latency(latencies: Timings, limits: Limits) -> list[Line]:
    limit = None if limits.p99_seconds is None else 1e3 * limits.p99_seconds
    return [
        checked(
            f"latency p{round(100 * share)}",
            1e3 * latencies.quantile(share),
            limit if share == 0.99 else None,
            unit="ms",
            note=f"{len(latencies.seconds)} single calls in this process, without queue and network",
        )
        for share in (0.5, 0.95, 0.99)
    ]


def _fallbacks(last: Variant) -> list[Line]:
    if last.eager_fallbacks is None:
        return []
    return [
        checked(
            "functions that ran uncompiled", last.eager_fallbacks(), 0, note="while all this was measured"
        )
    ]


def _memory(first: Variant, last: Variant, resources: Resources) -> list[Line]:
    before, after = first.report["weight_bytes"], last.report["weight_bytes"]
    weights = (
        not_measurable("weights", "nobody counted them: the model names no networks")
        if after is None
        else checked("weights", after, before, unit="bytes", note="counted, of the real storages")
    )
    peak = checked(
        "peak memory of a batch", resources.peak_bytes, None, unit="bytes", note="beyond the model"
    )
    fragmentation = (
        not_measurable("fragmentation", resources.fragmentation_note)
        if resources.fragmentation is None
        else checked("fragmentation", resources.fragmentation, FRAGMENTATION_LIMIT)
    )
    return [weights, peak, fragmentation]


def _busy(resources: Resources, stages: Mapping[str, Timings], device: str) -> list[Line]:
    total = sum(one.median for one in stages.values())
    loading = sum(stages[name].median for name in ("decode", "validate", "copy")) / total
    note = "time in kernels" if device.startswith("cuda") else "time in operations of torch"
    return [
        *(
            checked(f"device busy (goal {goal:.0%})", resources.busy_share, goal, better="higher", note=note)
            for goal in BUSY_GOALS
        ),
        checked("data loading by the whole call", loading, LOADING_LIMIT, note="decode, validate, copy"),
    ]


def _goodput(usd: float, latencies: Timings, limits: Limits) -> Line:
    name = "cost per 1000 within the limit of p99"
    if limits.p99_seconds is None:
        return not_measurable(name, "no limit was given (--p99-ms)", unit="USD")
    within = sum(seconds <= limits.p99_seconds for seconds in latencies.seconds) / len(latencies.seconds)
    if within == 0:
        return not_measurable(name, "no call was within it", unit="USD")
    return checked(name, usd / within, None, unit="USD", note=f"{within:.1%} of the calls")


def _optional(name: str, value: float | None, reason: str, unit: str) -> Line:
    return not_measurable(name, reason) if value is None else checked(name, value, None, unit=unit)


def _best(measured: Measured) -> Timings:
    return measured.timings[measured.last][measured.best_rows]


def _latencies(variant: Variant, call: WarmupCall, clock: Callable[[], float]) -> Timings:
    """Seconds of calls one after the other, validation and copies included."""
    seconds = []
    for _ in range(LATENCY_CALLS):
        began = clock()
        variant.loaded.compute(call)
        seconds.append(clock() - began)
    return Timings(seconds=tuple(seconds))
