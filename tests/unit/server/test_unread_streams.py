"""How many finished texts of a model may wait for their readers without a place, by the model that is served."""

from __future__ import annotations

from atheria_server.app import _max_unread_streams
from atheria_server.models.registry import load_served


def test_texts_of_a_long_context_that_nobody_reads_take_their_places_sooner() -> None:
    served = load_served("builtin://sceneline", {"places": 64}, "")
    assert _max_unread_streams(served) == 64
    served.main.context_length = 131_072
    assert _max_unread_streams(served) == 2


def test_streams_that_stop_with_their_reader_are_not_counted() -> None:
    assert _max_unread_streams(load_served("builtin://echo", {}, "")) is None
