"""What may be set on the runtime text."""

from __future__ import annotations

import pytest

from atheria_server.core.unread_frames import UNREAD_BYTES
from atheria_server.models.text.settings import TextSettingsError, parse_text_settings


def test_bytes_of_unread_frames_have_a_default_and_may_be_said_in_units() -> None:
    assert parse_text_settings({}).unread_bytes == UNREAD_BYTES
    assert parse_text_settings({"unread_bytes": "64Mi"}).unread_bytes == 64 << 20


@pytest.mark.parametrize("value", ["1Ki", 0, 1.5, True, "much"])
def test_bytes_of_unread_frames_that_hold_no_text_are_refused_with_what_is_allowed(value: object) -> None:
    with pytest.raises(TextSettingsError, match=r"unread_bytes is .*expected bytes of 1048576 or more"):
        parse_text_settings({"unread_bytes": value})  # type: ignore[dict-item]


def test_bytes_of_the_cache_may_be_left_to_the_server() -> None:
    assert parse_text_settings({"cache_bytes": 0}).cache_bytes == 0
    with pytest.raises(TextSettingsError, match=r"cache_bytes is 'x'; expected bytes, such as"):
        parse_text_settings({"cache_bytes": "x"})
