"""What Prometheus' own `promtool check metrics` says about the metrics of the server, the operator and the gateway."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from atheria_local import promtool
from tests.contract import expositions


def lint(text: bytes) -> str:
    """All that promtool objects to; skips the test, with the reason, where there is no promtool."""
    program = promtool.find()
    if not program:
        pytest.skip(promtool.MISSING)
    done = subprocess.run(
        [program, "check", "metrics"], input=text, capture_output=True, timeout=60, check=False
    )
    found = (done.stdout + done.stderr).decode()
    assert bool(done.returncode) == bool(found), (done.returncode, found)
    return found


def test_the_linter_objects_to_a_bad_name() -> None:
    assert "counter metrics should have" in lint(b"# HELP calls How many.\n# TYPE calls counter\ncalls 1\n")


@pytest.mark.parametrize("exposition", [expositions.server, expositions.gateway, expositions.operator])
def test_nothing_is_wrong_with_the_metrics_of(exposition: Callable[[], bytes]) -> None:
    assert lint(exposition()) == ""


def test_calls_at_the_gateway_are_shown_as_envoy_counts_them() -> None:
    assert b'atheria_gateway_requests_total{model="m",namespace="n"} 3.0' in expositions.gateway()
