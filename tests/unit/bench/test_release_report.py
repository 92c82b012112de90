"""The tables of the benchmark of installs and upgrades say what was measured."""

from __future__ import annotations

from bench.release.calls import WAYS, Call
from bench.release.changes import Change
from bench.release.report import changes_table, installs_table, ways_table


def call(sent_at: float, failure: str = "", seconds: float = 0.01, way: str = WAYS[0]) -> Call:
    return Call(way=way, sent_at=sent_at, seconds=seconds, failure=failure)


def change(sent_since: float, sent_until: float) -> Change:
    return Change(
        name="helm upgrade",
        helm_seconds=12.0,
        seconds=20.0,
        replaced=("gateway", "operator"),
        redefined=True,
        sent_since=sent_since,
        sent_until=sent_until,
    )


def test_installs_give_median_and_spread_of_each_point_and_say_what_was_not_seen() -> None:
    table = installs_table([{"Deployment": 10.0}, {"Deployment": 14.0}, {"Deployment": 11.0}])
    assert "| **the model has its Deployment** | 11.0 (10.0 - 14.0) |" in table
    assert "| the gateway is Ready | not seen |" in table


def test_a_call_belongs_to_the_change_that_was_under_way_when_it_was_sent() -> None:
    calls = [call(1.0), call(5.0, seconds=0.25), call(9.0, failure="UNAVAILABLE: gone"), call(10.0)]
    table = changes_table([change(5.0, 10.0)], calls)
    assert "| `helm upgrade` | 12.0 | 20.0 | gateway, operator | yes | 2 | 1 | 250 ms |" in table


def test_every_way_has_a_row() -> None:
    table = ways_table([call(1.0, way=way) for way in WAYS] + [call(2.0, failure="lost", seconds=0.5)])
    assert f"| {WAYS[0]} | 2 | 1 | 255 ms | 500 ms |" in table
    assert all(f"| {way} | 1 | 0 | 10 ms | 10 ms |" in table for way in WAYS[1:])
