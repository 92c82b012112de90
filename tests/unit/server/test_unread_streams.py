"""What may wait for the readers of finished texts, by the model that is served."""

from __future__ import annotations

from atheria_server.app import _max_unread_bytes, _max_unread_streams
from atheria_server.core.unread_frames import UNREAD_BYTES
from atheria_server.models.registry import load_served

MI = 1 << 20


def test_as_many_texts_as_there_are_places_wait_for_their_readers_without_one() -> None:
    assert _max_unread_streams(load_served("builtin://sceneline", {"places": 64}, "")) == 64


def test_what_waits_for_the_readers_of_texts_is_bounded_in_bytes_for_each_worker() -> None:
    assert _max_unread_bytes(load_served("builtin://sceneline", {}, ""), 2) == 2 * UNREAD_BYTES
    assert _max_unread_bytes(load_served("builtin://sceneline", {"unread_bytes": "8Mi"}, ""), 3) == 24 * MI


def test_streams_that_stop_with_their_reader_are_not_counted() -> None:
    echo = load_served("builtin://echo", {}, "")
    assert _max_unread_streams(echo) is None
    assert _max_unread_bytes(echo, 1) is None
