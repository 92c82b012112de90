"""Closed and open loops, and what is told of them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from rich.console import Console
from tritonclient.utils import InferenceServerException

from atheria_cli.calls.load import Load, Tally, make_load
from atheria_cli.calls.percentiles import plot, summarize, summary_table
from atheria_cli.errors import CommandError


def nobody(_share: float, _calls: int) -> None:
    pass


async def test_a_closed_loop_never_has_more_calls_in_flight_than_callers() -> None:
    now, most = 0, 0

    async def call() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.002)
        now -= 1

    tally = await make_load(call, Load(seconds=0.5, concurrency=3, warm_up_seconds=0), nobody)
    assert most == 3
    assert now == 0
    assert len(tally.seconds) > 3


async def test_an_open_loop_goes_on_calling_while_the_server_stalls_and_counts_the_wait() -> None:
    free = asyncio.Event()
    asyncio.get_running_loop().call_later(0.3, free.set)

    tally = await make_load(free.wait, Load(seconds=0.3, rate=200, warm_up_seconds=0, seed=1), nobody)  # type: ignore[arg-type]
    assert len(tally.seconds) > 20
    assert max(tally.seconds) > 0.2


async def test_failures_are_counted_by_what_the_server_said_and_calls_of_the_warm_up_are_not() -> None:
    made = 0

    async def call() -> None:
        nonlocal made
        made += 1
        await asyncio.sleep(0.001)
        raise InferenceServerException("queue is full", status="StatusCode.RESOURCE_EXHAUSTED")

    tally = await make_load(call, Load(seconds=1.0, warm_up_seconds=0.1), nobody)
    (words,) = tally.failures
    assert words == "RESOURCE_EXHAUSTED: queue is full"
    assert 0 < tally.failures[words] < made
    assert summarize(tally).calls == 0


async def test_a_fault_of_ours_is_not_taken_for_a_failed_call() -> None:
    async def call() -> None:
        raise KeyError("a bug")

    with pytest.raises(ExceptionGroup):
        await make_load(call, Load(seconds=0.1), nobody)


def tally(count: int) -> Tally:
    return Tally(
        seconds=[0.001 * n for n in range(1, count + 1)], answered=count, ended=count, counted_seconds=2.0
    )


def test_only_percentiles_that_so_many_calls_can_tell_are_told() -> None:
    summary = summarize(tally(100))
    assert (summary.calls, summary.calls_per_second) == (100, 50)
    assert list(summary.percentiles) == ["p50", "p75", "p90", "p95", "p99"]
    assert summary.percentiles["p99"] == pytest.approx(0.1)
    assert list(summarize(tally(1)).percentiles) == ["p50"]
    assert list(summarize(tally(10)).percentiles)[-1] == "p90"
    assert list(summarize(tally(1000)).percentiles)[-1] == "p99.9"


async def test_the_rate_of_slow_calls_counts_all_that_end_in_the_measured_time() -> None:
    async def call() -> None:
        await asyncio.sleep(0.1)

    load = Load(seconds=0.55, concurrency=4, warm_up_seconds=0.05)
    found = await make_load(call, load, nobody)
    # Those that began before it and ended in it count, those that ended behind it do not: one for each caller at most.
    assert found.answered - 4 <= found.ended <= found.answered + 4
    assert found.counted_seconds == 0.55


async def test_an_open_loop_without_an_arrival_has_no_rate_and_no_failure() -> None:
    async def call() -> None:
        raise AssertionError("nobody is due")

    found = await make_load(call, Load(seconds=0.1, rate=0.001, warm_up_seconds=0), nobody)
    assert (found.answered, found.failures, summarize(found).calls_per_second) == (0, {}, 0.0)


def test_the_plot_is_drawn_and_a_name_that_cannot_be_is_refused(tmp_path: Path) -> None:
    tallies = [("1 caller", Tally(seconds=[0.1, 0.2, 0.3])), ("none", Tally())]
    plot(tmp_path / "a.svg", tallies)
    assert "<svg" in (tmp_path / "a.svg").read_text()
    with pytest.raises(CommandError, match="cannot be written"):
        plot(tmp_path / "a.nonsense", tallies)


def test_no_figure_is_cut_on_a_narrow_terminal() -> None:
    console = Console(width=40)
    with console.capture() as printed:
        console.print(summary_table(summarize(tally(1000)), Load(seconds=2.0)))
    assert "…" not in printed.get()
    for words in ("p50 501.00 ms", "p99.9 1000.00 ms", "max 1000.00 ms", "mean 500.50 ms"):
        assert words in printed.get()


async def test_calls_that_this_machine_sends_late_are_told_to_be_its_fault() -> None:
    async def call() -> None:
        time.sleep(0.25)  # noqa: ASYNC251 - a machine that has no time for the next call

    load = Load(seconds=0.3, rate=50, warm_up_seconds=0, seed=1)
    found = await make_load(call, load, nobody)
    assert found.sent_late_seconds > 0.1
    assert "this machine is too busy for that rate" in shown_of(found, load)
    assert "too busy" not in shown_of(tally(100), load)


def shown_of(found: Tally, load: Load) -> str:
    console = Console(width=200)
    with console.capture() as printed:
        console.print(summary_table(summarize(found), load))
    return printed.get()
