"""The gateway's settings from the environment."""

from __future__ import annotations

import pytest

from atheria_gateway.settings import Settings, settings_from
from atheria_gateway.xds.tls import TlsFiles


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
            "ATHERIA_NAMESPACES": "team-b, team-a,",
        }
    )
    assert settings.namespaces == ("team-a", "team-b")
    assert settings.activator_socket == "/x/activator.sock"
    assert (settings.hold_s, settings.hold_limit, settings.metrics_port) == (12.5, 9, 9999)
    assert (settings.demand_target, settings.pod_name) == ("operator:8002", "gateway-0")


def test_the_live_page_is_off_unless_it_is_asked_for() -> None:
    assert not settings_from({}).has_live_page
    assert settings_from({"ATHERIA_LIVE_PAGE": "on"}).has_live_page
    with pytest.raises(ValueError, match="ATHERIA_LIVE_PAGE is 'yes', allowed is one of on, off"):
        settings_from({"ATHERIA_LIVE_PAGE": "yes"})


@pytest.mark.parametrize("value", ["0", "-1", "nan", "many", "4000"])
def test_a_value_out_of_bounds_names_the_variable_the_value_and_the_bounds(value: str) -> None:
    with pytest.raises(
        ValueError, match=rf"ATHERIA_HOLD_SECONDS is '{value}', allowed is a number from 1 to 3500"
    ):
        settings_from({"ATHERIA_HOLD_SECONDS": value})


def test_the_settings_of_tls_keys_browsers_and_bounds_are_read() -> None:
    settings = settings_from(
        {
            "ATHERIA_TLS_CERT_FILE": "/tls/tls.crt",
            "ATHERIA_TLS_KEY_FILE": "/tls/tls.key",
            "ATHERIA_TLS_CLIENT_CA_FILE": "/ca/ca.crt",
            "ATHERIA_API_KEYS_FILE": "/keys/keys",
            "ATHERIA_FORWARD_KEYS": "on",
            "ATHERIA_CORS_ORIGINS": "https://lab.example, http://localhost:3000",
            "ATHERIA_ACCESS_LOG": "all",
            "ATHERIA_HOLD_CALLER_SHARE": "0.25",
            "ATHERIA_ENVOY_MEMORY_BYTES": "1073741824",
        }
    )
    assert settings.tls == TlsFiles(
        certificate="/tls/tls.crt", key="/tls/tls.key", client_authority="/ca/ca.crt"
    )
    assert (settings.api_keys_file, settings.forwards_keys) == ("/keys/keys", True)
    assert settings.cors_origins == ("https://lab.example", "http://localhost:3000")
    assert (settings.access_log, settings.hold_caller_share) == ("all", 0.25)
    assert settings.hold_bytes == settings.envoy_memory_bytes // 2 == 2**29


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"ATHERIA_TLS_CERT_FILE": "/x"}, "ATHERIA_TLS_KEY_FILE is not set"),
        ({"ATHERIA_TLS_CLIENT_CA_FILE": "/x"}, "ATHERIA_TLS_CERT_FILE is not set"),
        ({"ATHERIA_CORS_ORIGINS": "lab.example"}, "ATHERIA_CORS_ORIGINS has 'lab.example'"),
        (
            {"ATHERIA_ACCESS_LOG": "some"},
            "ATHERIA_ACCESS_LOG is 'some', allowed is one of all, problems, off",
        ),
        ({"ATHERIA_FORWARD_KEYS": "yes"}, "ATHERIA_FORWARD_KEYS is 'yes', allowed is one of on, off"),
        (
            {"ATHERIA_HOLD_CALLER_SHARE": "2"},
            "ATHERIA_HOLD_CALLER_SHARE is '2', allowed is a number from 0.01 to 1",
        ),
    ],
)
def test_a_wrong_setting_names_the_variable_and_what_is_allowed(
    environment: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        settings_from(environment)
