"""The operator's settings."""

from __future__ import annotations

import pytest

from atheria_contract import names
from atheria_operator.settings import SettingsError, read_settings

IMAGE = {names.ENV_SERVER_IMAGE: "server:1"}


def test_an_image_is_enough() -> None:
    settings = read_settings(IMAGE)
    assert (settings.server_image, settings.namespaces) == ("server:1", ())
    assert (settings.demand_port, settings.metrics_port) == (names.PORT_DEMAND, names.PORT_METRICS)


def test_the_lease_is_in_the_pods_own_namespace_and_outside_a_cluster_there_is_none() -> None:
    assert read_settings(IMAGE).pod_namespace == ""
    settings = read_settings({**IMAGE, names.ENV_POD_NAMESPACE: "system", names.ENV_POD_NAME: "operator-x"})
    assert (settings.pod_namespace, settings.pod_name) == ("system", "operator-x")


def test_namespaces_are_a_list_with_commas() -> None:
    assert read_settings({**IMAGE, "ATHERIA_NAMESPACES": "b, a,,b"}).namespaces == ("a", "b")


def test_one_model_at_a_time_follows_a_new_image_unless_told_otherwise() -> None:
    assert read_settings(IMAGE).upgrades_at_once == 1
    assert read_settings({**IMAGE, "ATHERIA_UPGRADES_AT_ONCE": "3"}).upgrades_at_once == 3


def test_other_autoscalers_are_answered_only_where_that_is_switched_on() -> None:
    settings = read_settings(IMAGE)
    assert (settings.external_scaler_port, settings.external_metrics_port) == (None, None)
    settings = read_settings(
        {
            **IMAGE,
            "ATHERIA_EXTERNAL_SCALER_PORT": "8004",
            "ATHERIA_EXTERNAL_SCALER_ADDRESS": "operator:8004",
            "ATHERIA_EXTERNAL_METRICS_PORT": "0",
        }
    )
    assert (settings.external_scaler_port, settings.external_scaler_address) == (8004, "operator:8004")
    assert settings.external_metrics_port == 0
    assert settings.external_metrics_certificates == "/etc/atheria/external-metrics"


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({**IMAGE, "ATHERIA_EXTERNAL_SCALER_PORT": "8004"}, "set both or none"),
        ({**IMAGE, "ATHERIA_EXTERNAL_SCALER_ADDRESS": "x:1"}, "set both or none"),
        ({**IMAGE, "ATHERIA_EXTERNAL_METRICS_PORT": "x"}, "ATHERIA_EXTERNAL_METRICS_PORT is 'x'"),
        ({}, names.ENV_SERVER_IMAGE),
        ({**IMAGE, "ATHERIA_IMAGE_PULL_POLICY": "often"}, "Always, IfNotPresent, Never"),
        ({**IMAGE, "ATHERIA_DEMAND_PORT": "x"}, "ATHERIA_DEMAND_PORT is 'x'"),
        ({**IMAGE, "ATHERIA_METRICS_PORT": "70000"}, "65535"),
        ({**IMAGE, "ATHERIA_RESYNC_SECONDS": "0"}, "from 1 to 3600"),
        ({**IMAGE, "ATHERIA_LOG_LEVEL": "loud"}, "DEBUG"),
        ({**IMAGE, "ATHERIA_UPGRADES_AT_ONCE": "0"}, "ATHERIA_UPGRADES_AT_ONCE is '0': use a number from 1"),
        ({**IMAGE, "ATHERIA_STUCK_SECONDS": "never"}, "ATHERIA_STUCK_SECONDS is 'never'"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(environment: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings(environment)
    assert words in str(refused.value)


def test_calls_to_pods_are_plain_unless_told_otherwise_and_a_wrong_issuer_is_named() -> None:
    assert read_settings(IMAGE).pod_tls is None
    told = {
        **IMAGE,
        names.ENV_POD_NAMESPACE: "system",
        "ATHERIA_POD_TLS_MODE": "internal",
        "ATHERIA_POD_TLS_NAME": "atheria",
    }
    found = read_settings(told).pod_tls
    assert found is not None
    assert (found.name, found.for_models, found.issuer) == ("atheria", True, None)
    told["ATHERIA_POD_TLS_MODE"] = "cert-manager"
    issuer = '{"name": "models", "kind": "ClusterIssuer", "group": "cert-manager.io"}'
    found = read_settings({**told, "ATHERIA_POD_TLS_ISSUER": issuer, "ATHERIA_POD_TLS_MODELS": "off"}).pod_tls
    assert found is not None
    assert found.issuer is not None
    assert (found.issuer.name, found.for_models) == ("models", False)
    for variables, words in (
        ({"ATHERIA_POD_TLS_MODE": "on"}, "use one of plain, internal, cert-manager"),
        (
            {"ATHERIA_POD_TLS_MODE": "cert-manager", "ATHERIA_POD_TLS_ISSUER": "models"},
            "podTls.certManager.issuerRef",
        ),
        ({names.ENV_POD_NAMESPACE: ""}, f"{names.ENV_POD_NAMESPACE} is empty"),
        ({"ATHERIA_POD_TLS_NAME": ""}, "ATHERIA_POD_TLS_NAME is empty"),
    ):
        with pytest.raises(SettingsError) as caught:
            read_settings({**told, **variables})
        assert words in str(caught.value)
