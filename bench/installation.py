"""Atheria's parts as processes on a control plane: rights from the chart, credentials, and each as its container starts it.

For the integration tests and the benchmarks that run operator and gateway outside a cluster.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from atheria_contract import names
from atheria_gateway import settings as gateway_settings
from atheria_local import programs
from atheria_operator import settings as operator_settings

CHART: Final = Path(__file__).parents[1] / "charts" / "atheria"
SYSTEM_NAMESPACE: Final = "atheria-system"
_PATHS: Final = {
    name: os.environ[name]
    for name in ("PATH", "PYTHONPATH", names.ENV_STANDBY_KEY_FILE)
    if name in os.environ
}
SERVER_IMAGE: Final = "localhost/atheria/server:test"


def program(name: str) -> str:
    """Path of one of our commands, or of Envoy: beside the interpreter that runs this."""
    return str(Path(sys.executable).with_name(name))


def rendered_rights(*templates: str, values: Sequence[str] = ()) -> list[dict[str, Any]]:
    """ServiceAccounts, roles and bindings as Helm renders them from the chart's templates, e.g. `gateway-rbac`, with `--set` of
    the values."""
    programs.ensure(programs.HELM)
    shown = [part for name in templates for part in ("--show-only", f"templates/{name}.yaml")]
    chosen = [part for value in values for part in ("--set", value)]
    done = subprocess.run(
        [programs.path(programs.HELM), "template", "atheria", str(CHART), "--namespace", SYSTEM_NAMESPACE, *shown, *chosen],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def kubeconfig_of(
    kubectl: Sequence[str], administrator: Path, account: str, file: Path, namespace: str = SYSTEM_NAMESPACE
) -> Path:
    """Write a kubeconfig with the token of a service account, for the server of `administrator`'s."""
    token = subprocess.run(
        [*kubectl, "create", "token", account, "-n", namespace, "--duration=2h"],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout.strip()  # fmt: skip
    config = yaml.safe_load(administrator.read_text(encoding="utf-8"))
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    file.write_text(json.dumps(config), encoding="utf-8")
    return file


def operator_environment(kubeconfig: Path, **more: str) -> dict[str, str]:
    """Variables of `atheria-operator`; ports are free ones unless `more` says which."""
    return {
        **_PATHS,
        "KUBECONFIG": str(kubeconfig),
        names.ENV_SERVER_IMAGE: SERVER_IMAGE,
        operator_settings.ENV_DEMAND_PORT: "0",
        operator_settings.ENV_METRICS_PORT: "0",
        # The same after a kill, as in a pod whose container is started again: its Lease is its own.
        names.ENV_POD_NAME: "operator-0",
        names.ENV_POD_NAMESPACE: SYSTEM_NAMESPACE,
        **more,
    }


def activator_environment(
    kubeconfig: Path, *, run_directory: Path, demand_target: str, metrics_port: int, **more: str
) -> dict[str, str]:
    """Variables of `atheria-gateway` beside an Envoy whose sockets are in `run_directory`."""
    return {
        **_PATHS,
        "KUBECONFIG": str(kubeconfig),
        names.ENV_POD_NAME: "gateway-0",
        names.ENV_POD_NAMESPACE: SYSTEM_NAMESPACE,
        names.ENV_DEMAND_TARGET: demand_target,
        gateway_settings.ENV_RUN_DIRECTORY: str(run_directory),
        gateway_settings.ENV_METRICS_PORT: str(metrics_port),
        gateway_settings.ENV_DRAIN_SECONDS: "2",
        **more,
    }


def envoy_command(bootstrap: Path, *more: str) -> list[str]:
    """Envoy on one thread of its own."""
    return [
        program("envoy"),
        *("-c", str(bootstrap), "--concurrency", "1", "-l", "warning", "--disable-hot-restart"),
        *more,
    ]
