from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atheria_server.core.stream_places import StreamPlaces


def test_each_worker_has_its_places() -> None:
    places = StreamPlaces(per_worker=4, unread_per_worker=4, open_streams=5)
    assert places.free([4, 1]) == 3
    assert places.free([]) == 0


def test_a_finished_stream_that_nobody_reads_takes_no_place() -> None:
    assert StreamPlaces(per_worker=4, unread_per_worker=4, open_streams=4).free([0]) == 4
    assert StreamPlaces(per_worker=4, unread_per_worker=4, open_streams=6).free([2]) == 2


def test_more_unread_streams_than_places_hold_new_ones_up() -> None:
    assert StreamPlaces(per_worker=4, unread_per_worker=4, open_streams=7).free([0]) == 1
    assert StreamPlaces(per_worker=4, unread_per_worker=4, open_streams=8).free([0]) == 0
    assert StreamPlaces(per_worker=4, unread_per_worker=None, open_streams=100).free([0]) == 4


@given(
    st.integers(1, 8),
    st.integers(0, 8),
    st.lists(st.sampled_from(["start", "finish", "read"]), max_size=80),
)
def test_open_streams_are_bounded_whatever_their_readers_do(
    per_worker: int, unread_per_worker: int, events: list[str]
) -> None:
    places = StreamPlaces(per_worker=per_worker, unread_per_worker=unread_per_worker)
    running = unread = 0
    for event in events:
        if event == "start" and places.free([running]):
            running += 1
            places.open_streams += 1
        elif event == "finish" and running:
            running, unread = running - 1, unread + 1
        elif event == "read" and unread:
            unread -= 1
            places.open_streams -= 1
        assert running <= per_worker
        assert places.open_streams == running + unread <= per_worker + unread_per_worker
        assert places.free([running]) or running + unread >= per_worker
