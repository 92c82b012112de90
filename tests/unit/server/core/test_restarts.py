"""A dead worker is started again, later and later, and not for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atheria_server.core.restarts import RestartPolicy, restart_delay

POLICY = RestartPolicy(max_restarts=3, window_seconds=100, delay_seconds=0.5)


def test_the_first_restart_is_immediate_and_each_further_one_waits_longer_until_it_is_given_up() -> None:
    deaths = [0.0, 1.0, 2.0, 3.0]
    assert [restart_delay(POLICY, deaths[: n + 1], deaths[n]) for n in range(4)] == [0.0, 0.5, 1.0, None]


def test_deaths_of_long_ago_are_forgotten() -> None:
    assert restart_delay(POLICY, [0.0, 1.0, 2.0, 300.0], 300.0) == 0.0


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=10).map(sorted))
def test_there_are_never_more_restarts_in_a_window_than_allowed(deaths: list[float]) -> None:
    now = deaths[-1]
    recent = [t for t in deaths if now - t < POLICY.window_seconds]
    assert (restart_delay(POLICY, deaths, now) is None) == (len(recent) > POLICY.max_restarts)
