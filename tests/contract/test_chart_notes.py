"""What Helm says after an installation: the state of what can be switched on, and commands that work as they stand."""

from __future__ import annotations

from tests.contract.chart import CHART, SYSTEM_NAMESPACE, helm


def notes(*arguments: str) -> str:
    """Of an installation that is only tried."""
    done = helm("install", "x", str(CHART), "-n", SYSTEM_NAMESPACE, "--dry-run=client", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("NOTES:\n")[2]


def test_the_first_model_is_made_in_a_namespace_that_is_served() -> None:
    everywhere, named = notes(), notes("--set", "operator.namespaces={team-a,team-b}")
    assert "\n\n  kubectl create namespace demo\n  kubectl -n demo apply -f -" in everywhere
    assert "create namespace" not in named
    assert "\n\n  kubectl -n team-a apply -f -" in named
    assert "`atheria-model: team-a/qca`" in named
    assert "models of  team-a, team-b" in named


def test_the_live_page_is_named_where_it_is_on() -> None:
    assert "/live/" not in notes()
    on = ("--set", "gateway.livePage.enabled=true")
    assert "\n\nThe live page is then at http://localhost:8000/live/\n" in notes(*on)
    assert " https://localhost:8000/live/\n" in notes(*on, "--set", "gateway.tls.secretName=t")


def test_what_is_off_names_the_value_that_switches_it_on() -> None:
    said = notes("--set", "networkPolicy.enabled=true,monitoring.enabled=true,monitoring.kind=ServiceMonitor")
    assert "✗ TLS at the gateway       gateway.tls.secretName\n" in said
    assert "✗ TLS to model pods        podTls.mode\n" in said
    assert "✓ TLS to model pods" in notes("--set", "podTls.mode=internal")
    assert "✓ network policies" in said
    assert "✗ ServiceMonitors          this cluster has no monitoring.coreos.com/v1\n" in said
    assert "networkPolicy.scrapers is empty" in said
