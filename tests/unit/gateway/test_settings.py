"""The gateway's settings from the environment."""

from __future__ import annotations

import pytest

from atheria_gateway.settings import Settings, settings_from


def test_without_variables_the_defaults_hold() -> None:
    assert settings_from({}) == Settings()


def test_variables_are_read() -> None:
    settings = settings_from(
        {
            "ATHERIA_RUN_DIRECTORY": "/x",
            "ATHERIA_HOLD_SECONDS": "12.5",
            "ATHERIA_HOLD_LIMIT": "9",
            "ATHERIA_METRICS_PORT": "9999",
            "ATHERIA_DEMAND_TARGET": "operator:8002",
            "POD_NAME": "gateway-0",
        }
    )
    assert settings.activator_socket == "/x/activator.sock"
    assert (settings.hold_s, settings.hold_limit, settings.metrics_port) == (12.5, 9, 9999)
    assert (settings.demand_target, settings.pod_name) == ("operator:8002", "gateway-0")


@pytest.mark.parametrize("value", ["0", "-1", "nan", "many", "4000"])
def test_a_value_out_of_bounds_names_the_variable_the_value_and_the_bounds(value: str) -> None:
    with pytest.raises(
        ValueError, match=rf"ATHERIA_HOLD_SECONDS is '{value}', allowed is a number from 1 to 3500"
    ):
        settings_from({"ATHERIA_HOLD_SECONDS": value})
