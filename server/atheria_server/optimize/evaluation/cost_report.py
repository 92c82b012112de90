"""The report of `economics`: a row for each device, waterfalls, and the bill of a day. Assembles; formulas are in core."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from atheria_contract.serving import ServingConfig
from atheria_server.core.batch_time import BatchTime, mean_rows_under_load
from atheria_server.core.cost_table import (
    CostRow,
    Operation,
    chain_waterfall,
    modelled_chain,
    modelled_row,
)
from atheria_server.core.economics import (
    PaidSeconds,
    PeriodCost,
    ScaleToZero,
    Waterfall,
    break_even_seconds,
    cold_start_cost,
    period_cost,
    scale_to_zero_cost,
)
from atheria_server.core.roofline import Device, Work, nca_work, unet_work
from atheria_server.core.timings import Ratio
from atheria_server.models.contract import Scalar
from atheria_server.optimize.evaluation.chain import EAGER, Measured, measure_chain
from atheria_server.optimize.evaluation.tables import TableError, price_of, read_devices, read_prices
from atheria_server.optimize.evaluation.this_device import this_device
from atheria_server.optimize.evaluation.variants import for_measuring
from atheria_server.optimize.profiling.calls import sample_call
from atheria_server.optimize.profiling.report import milliseconds

SECONDS_PER_DAY: Final = 86400.0
NO_GPU: Final = "no GPU here: L4, A100, L40S, H100 and H200 are modelled, not measured"
_STEPS: Final = "steps"


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """All of it."""

    subject: str
    rows: tuple[CostRow, ...]
    """The measured one first."""
    falls: Mapping[str, Waterfall]
    """By title."""
    measured: Measured
    total: Ratio
    operation: Operation
    days: Mapping[str, PeriodCost]
    """Of the device here, by how replicas are kept."""
    mean_rows: float
    """Of a batch under that load."""
    inferences_per_day: int
    break_even: float
    """Idle seconds that cost as much as a cold start."""
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """For `--output json`."""
        utilisation = self.operation.utilisation[1]
        return {
            "subject": self.subject,
            "load_average": self.measured.load_average,
            "clock": self.measured.clock,
            "rows": [row.to_json(utilisation) for row in self.rows],
            "batch_times": {
                name: {
                    "fixed_seconds": line.fixed_seconds,
                    "row_seconds": line.row_seconds,
                    "r_squared": line.r_squared,
                    "gain_limit": line.gain_limit,
                }
                for name in self.measured.variants
                for line in [self.measured.batch_time(name)]
            },
            "throughput_gain": list(self.total.values),
            "waterfalls": {title: fall.to_json() for title, fall in self.falls.items()},
            "inferences_per_day": self.inferences_per_day,
            "mean_rows": self.mean_rows,
            "days": {
                name: {
                    "busy_usd_per_1000": day.busy,
                    "idle_usd_per_1000": day.idle,
                    "cold_usd_per_1000": day.cold,
                    "total_usd_per_1000": day.total,
                }
                for name, day in self.days.items()
            },
            "break_even_seconds": self.break_even,
            "notes": list(self.notes),
        }


def cost_report(
    config: ServingConfig,
    device: str,
    *,
    prices_file: Path | None,
    rows: Sequence[int],
    parameters: Mapping[str, Scalar],
    rounds: int,
    operation: Operation,
    inferences_per_day: int,
    before: str,
    after: str,
    clock: str = "wall",
) -> CostReport:
    """Measure here, model the rest. Raises TableError, EconomicsError, and what `measure_chain` raises."""
    prices, devices = read_prices(prices_file), read_devices()
    here = this_device(device, devices)
    notes = [] if device.startswith("cuda") else [NO_GPU]
    price = price_of(prices, here)
    measured = measure_chain(
        for_measuring(config, max(rows)),
        device,
        rows=rows,
        parameters=parameters,
        rounds=rounds,
        clock=clock,
    )
    if undecided := measured.undecided():
        notes.append(
            f"the factors of {', '.join(undecided)} are no results: the rounds disagree by more than the factor; "
            "measure again on a quieter machine, with more --rounds, or with --clock processor"
        )
    chain = measured.chain()
    seconds = chain.steps[-1][1]
    cost_rows = [
        CostRow(
            price=price,
            basis="measured",
            naive_seconds=chain.naive,
            rows=measured.best_rows,
            batch_seconds=seconds * measured.best_rows,
            bound="",
            note=_asked_for(config),
        )
    ]
    falls = {f"{here}, measured": chain_waterfall(chain, price, price, operation)}
    work = _work(config, measured)
    if work is None:
        notes.append(f"{config.source} has no roofline here, so other devices are not modelled")
    else:
        api = measured.variants[EAGER].loaded.api
        shape = config.warmup_shapes[0] if config.warmup_shapes else ()
        call = sample_call(api, shape, rows=1, parameters=parameters)
        steps = int(call.parameters.get(_STEPS, 1))
        largest = max(rows)
        cost_rows += [
            modelled_row(one, price_of(prices, name), work, steps=steps, rows=largest)
            for name, one in devices.items()
            if name != here
        ]
        pair = _known(devices, before), _known(devices, after)
        falls[f"{before} to {after}, modelled"] = chain_waterfall(
            modelled_chain(*pair, work, steps=steps, rows=largest),
            price_of(prices, before),
            price_of(prices, after),
            operation,
        )
    arrivals = inferences_per_day / SECONDS_PER_DAY
    mean_rows = mean_rows_under_load(arrivals, config.max_latency_seconds, max(rows))
    cold = cold_start_cost(price.usd_per_hour, operation.cold_seconds[1])
    keep = break_even_seconds(price.usd_per_hour, cold)
    return CostReport(
        subject=f"{config.source}, {_asked_for(config)}",
        rows=tuple(cost_rows),
        falls=falls,
        measured=measured,
        total=measured.total(),
        operation=operation,
        days=_days(
            price.usd_per_hour,
            measured.batch_time(measured.last),
            operation,
            inferences=inferences_per_day,
            mean_rows=mean_rows,
            keep_seconds=keep,
        ),
        mean_rows=mean_rows,
        inferences_per_day=inferences_per_day,
        break_even=keep,
        notes=tuple(notes),
    )


def _days(
    usd_per_hour: float,
    time: BatchTime,
    operation: Operation,
    *,
    inferences: int,
    mean_rows: float,
    keep_seconds: float,
) -> dict[str, PeriodCost]:
    """A day with replicas that are always there, and with replicas that end after `keep_seconds` without work."""
    busy = inferences * time.seconds(mean_rows) / mean_rows
    replicas = math.ceil(busy / SECONDS_PER_DAY / operation.utilisation[1])
    reserved = PaidSeconds(busy=busy, idle=replicas * SECONDS_PER_DAY - busy)
    starts = round(operation.starts_per_day)
    to_zero = ScaleToZero(
        inferences=inferences,
        mean_rows=mean_rows,
        cold_starts=starts,
        cold_seconds=operation.cold_seconds[1],
        idle_periods=starts,
        keep_seconds=keep_seconds,
    )
    return {
        f"reserved, replicas {replicas}": period_cost(usd_per_hour, reserved, inferences),
        f"to zero, starts {starts}": scale_to_zero_cost(usd_per_hour, time, to_zero),
    }


def plots(found: CostReport, folder: Path) -> list[tuple[Path, Waterfall, str]]:
    """File, waterfall and title of each plot."""
    return [
        (folder / f"waterfall-{title.replace(', ', '-').replace(' ', '-').lower()}.svg", fall, title)
        for title, fall in found.falls.items()
    ]


def markdown(found: CostReport) -> str:
    """The report for people."""
    after = found.operation.utilisation[1]
    how = (
        f"Medians of interleaved rounds, {found.measured.clock} time; load of the machine before: "
        f"{found.measured.load_average:.1f}. "
        "`modelled` rows are bounds by roofline (what the device could do at best), not measurements."
    )
    head = (
        "| device | basis | $/h | one alone, eager | batch | inferences/s | $ per 1000 alone | busy | "
        f"reserved, {after:.0%} busy | bound | price |"
    )
    lines = [
        f"# Cost of {found.subject}",
        "",
        how,
        "",
        head,
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *(_row(row, after) for row in found.rows),
        "",
        "| rows | " + " | ".join(f"{name}, ms" for name in found.measured.variants) + " |",
        "|---|" + "---|" * len(found.measured.variants),
        *(
            f"| {rows} | "
            + " | ".join(milliseconds(found.measured.timings[name][rows]) for name in found.measured.variants)
            + " |"
            for rows in found.measured.rows
        ),
        "",
        *(_fit(name, found.measured) for name in found.measured.variants),
        f"- throughput against one at a time in eager fp32: {found.total.text()}",
        "",
    ]
    for title, fall in found.falls.items():
        lines += [
            f"## Waterfall: {title}",
            "",
            "| step | factor | $ per 1000 after it | basis | |",
            "|---|---|---|---|---|",
            f"| before | | {_usd(fall.first)} | | |",
            *(
                f"| {step.name} | {step.factor:.2f} | {_usd(step.per_thousand)} | {step.basis} | {step.note} |"
                for step in fall.steps
            ),
            f"| all | {fall.total:.2f} | {_usd(fall.last)} | | product of the factors {fall.product:.2f} |",
            "",
        ]
    bill = (
        f"{found.inferences_per_day:,} inferences, evenly spread, make batches of {found.mean_rows:.2f} rows. An idle "
        f"replica is kept {found.break_even:.0f} s: that costs as much as a cold start, and whoever knows nothing of "
        "the arrivals pays at most twice the least so (ski rental)."
    )
    lines += [
        "## A day here, $ per 1000",
        "",
        "| replicas | busy | idle | cold starts | together |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {_usd(day.busy)} | {_usd(day.idle)} | {_usd(day.cold)} | {_usd(day.total)} |"
            for name, day in found.days.items()
        ),
        "",
        bill,
        "",
    ]
    return "\n".join([*lines, *(f"- {note}" for note in found.notes)])


def _row(row: CostRow, utilisation: float) -> str:
    low, high = row.busy_usd()
    price = row.price
    hourly = f"{price.usd_per_hour:g}" + (
        f" - {price.usd_per_hour_high:g}" if price.usd_per_hour_high > price.usd_per_hour else ""
    )
    busy = _usd(low) + (f" - {_usd(high)}" if high > low else "")
    return (
        f"| {price.device} | {row.basis} | {hourly} | {1e3 * row.naive_seconds:.3f} ms | {row.rows} in "
        f"{1e3 * row.batch_seconds:.3f} ms | {row.throughput:.0f} | {_usd(row.naive_usd())} | {busy} | "
        f"{_usd(row.reserved_usd(utilisation))} | {row.bound} | {price.source}, {price.date} |"
    )


def _fit(name: str, measured: Measured) -> str:
    line = measured.batch_time(name)
    return (
        f"- {name}: t(B) = {1e3 * line.fixed_seconds:.3f} ms + {1e3 * line.row_seconds:.3f} ms · B, "
        f"R² {line.r_squared:.3f}, largest gain {line.gain_limit:.2f}"
    )


def _usd(value: float) -> str:
    return f"{value:.3g}"


def _asked_for(config: ServingConfig) -> str:
    return f"precision {config.precision.policy}, compile {config.compile.mode}"


def _known(devices: Mapping[str, Device], name: str) -> Device:
    if name not in devices:
        raise TableError(f"no device {name!r} in the table; allowed: {', '.join(devices)}")
    return devices[name]


def _work(config: ServingConfig, measured: Measured) -> Work | None:
    """The roofline's work of a step, for the qca model's neural laws."""
    if config.source != "builtin://qca":
        return None
    settings = measured.variants[EAGER].loaded.api.settings
    shape = config.warmup_shapes[0] if config.warmup_shapes else (0, 64, 64)
    side = max(shape[-2:])
    if settings.law == "unet":
        return unet_work(channels=settings.channels, hidden=settings.hidden or 32, side=side)
    if settings.law == "nca":
        return nca_work(
            channels=settings.channels,
            hidden=settings.hidden or 64,
            depth=settings.depth or 2,
            side=side,
        )
    return None
