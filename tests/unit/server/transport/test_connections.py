"""Ages of connections from the environment."""

from __future__ import annotations

import pytest

from atheria_server.core.errors import StartError
from atheria_server.transport.connections import ENV_AGE, ENV_GRACE, ConnectionSettings, connection_settings


def test_without_a_word_in_the_environment_there_are_the_defaults() -> None:
    assert connection_settings({}) == ConnectionSettings()
    assert connection_settings({ENV_AGE: ""}) == ConnectionSettings()


def test_the_environment_sets_age_and_grace() -> None:
    settings = connection_settings({ENV_AGE: "2.5", ENV_GRACE: "10"})
    options = dict(settings.options())
    assert options["grpc.max_connection_age_ms"] == 2500
    assert options["grpc.max_connection_age_grace_ms"] == 10_000
    assert options["grpc.keepalive_time_ms"] == 60_000


@pytest.mark.parametrize("text", ["0", "-1", "soon", "nan", "1e9"])
def test_a_wrong_age_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(StartError, match=f"{ENV_AGE} is '{text}'; expected seconds from 0.1 to 86400"):
        connection_settings({ENV_AGE: text})
