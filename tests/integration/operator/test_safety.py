"""Two operators, an API server that goes away, answers with faults or loses watches: one writer, and everything is put right."""

from __future__ import annotations

import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atheria_contract import names
from atheria_operator import settings
from tests.integration.operator.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.integration.operator.harness import SYSTEM_NAMESPACE, OperatorProcess, eventually


def answer(operator: Any, path: str) -> tuple[int, str]:
    """Status and text of one of the operator's own pages."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{operator.metrics_port}{path}", timeout=10) as got:
            return got.status, got.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metric(operator: Any, name: str) -> float:
    """A figure without labels."""
    found = re.search(rf"^{name} (\S+)$", answer(operator, "/metrics")[1], re.MULTILINE)
    assert found is not None, f"no {name}"
    return float(found[1])


def holder(cluster: Any) -> str:
    lease = cluster.get("lease", names.LEASE_OPERATOR, "-n", SYSTEM_NAMESPACE)
    return str(lease["spec"].get("holderIdentity") or "")


@pytest.fixture
def second(cluster: Any, operator: Any, tmp_path: Path) -> Iterator[OperatorProcess]:
    """Another operator, not started yet."""
    kubeconfig = cluster.kubeconfig_of_the_operator(tmp_path / "kubeconfig")
    process = OperatorProcess(tmp_path, kubeconfig, **{names.ENV_POD_NAME: "operator-1"})
    yield process
    process.kill()
    if not operator.is_running:
        operator.start()


def test_a_second_operator_waits_and_says_so_and_takes_over_when_the_first_leaves(
    operator: Any, second: OperatorProcess, bare: Any
) -> None:
    eventually("the first leads", lambda: metric(operator, names.METRIC_LEADER) == 1)
    second.start()
    eventually("the second's word", lambda: "waits: operator-0 leads" in second.log)
    assert answer(second, "/readyz") == (503, "waiting for the Lease, which operator-0 holds\n")
    assert answer(second, "/healthz")[0] == 200
    assert metric(second, names.METRIC_LEADER) == 0
    bare.apply_model()
    bare.wait_condition("Accepted", "True")
    assert "reconcil" not in second.log
    assert operator.terminate() == 0
    eventually("the second leads", lambda: metric(second, names.METRIC_LEADER) == 1)
    eventually("the second is ready", lambda: answer(second, "/readyz")[0] == 200)
    bare.apply_model(batching={"maxBatchSize": 2})
    bare.wait_condition("Accepted", "True")
    assert second.terminate() == 0
    assert holder(bare.cluster) == ""


def test_an_operator_that_was_replaced_ends_and_nothing_of_its_own_follows(
    operator: Any, second: OperatorProcess, bare: Any
) -> None:
    eventually("the first leads", lambda: holder(bare.cluster) == "operator-0")
    bare.cluster.kubectl(
        "patch", "lease", names.LEASE_OPERATOR, "-n", SYSTEM_NAMESPACE, "--type=merge",
        "-p", '{"spec":{"holderIdentity":"somebody"}}',
    )  # fmt: skip
    assert operator.wait() != 0
    assert "somebody holds the Lease" in operator.log
    # Nobody renews it: after the whole lease it is taken.
    second.start()
    eventually("the second leads", lambda: holder(bare.cluster) == "operator-1", 40)
    assert second.terminate() == 0


@pytest.mark.timeout(400)
def test_an_api_server_that_is_away_for_a_while_is_nothing_to_restart_for(operator: Any, bare: Any) -> None:
    """A minute by ATHERIA_TEST_OUTAGE_SECONDS=60; the default is beyond the fence of the Lease."""
    bare.apply_model()
    revision = bare.wait_active()
    plane = bare.cluster.plane
    end_seconds = time.monotonic() + float(os.environ.get("ATHERIA_TEST_OUTAGE_SECONDS", "12"))
    plane.kill_api_server()
    try:
        eventually("the fence", lambda: metric(operator, names.METRIC_LEADER) == 0, 20)

        def is_over() -> bool:
            assert operator.is_running, operator.log[-2000:]
            assert answer(operator, "/readyz")[0] == 503
            assert answer(operator, "/healthz")[0] == 200
            return time.monotonic() >= end_seconds

        eventually("the end of the outage", is_over, max(1.0, end_seconds - time.monotonic()) + 20)
    finally:
        plane.start_api_server()
    bare.kubectl("delete", "deployment", revision, "--wait=false")
    eventually(
        "the model's Deployment again", lambda: bare.cluster.find("deployment", revision, "-n", bare.name), 90
    )
    assert metric(operator, names.METRIC_LEADER) == 1
    assert operator.is_running


@pytest.fixture
def proxy(cluster: Any, operator: Any, tmp_path: Path) -> Iterator[tuple[FaultProxy, OperatorProcess]]:
    """An operator whose requests go through a proxy, in place of the usual one."""
    operator.terminate()
    with fault_proxy(cluster.kubeconfig_of_the_operator(tmp_path / "direct")) as made:
        through = OperatorProcess(
            tmp_path, made.kubeconfig(tmp_path / "through"), **{settings.ENV_RESYNC_SECONDS: "5"}
        )
        try:
            through.start()
            eventually("the operator ready", lambda: answer(through, "/readyz")[0] == 200, 40)
            yield made, through
            assert through.terminate() == 0, through.log[-2000:]
        finally:
            through.kill()
            operator.start()


FAULTS = {
    "conflict": lambda method, path, _: Fault(status=409) if method == "PATCH" and "/deployments/" in path else None,
    "server error": lambda method, path, _: Fault(status=503) if method == "PATCH" and "/services/" in path else None,
    "too many requests": lambda method, path, _: Fault(status=429) if method == "PATCH" and "/status" in path else None,
    "refused token": lambda method, path, _: Fault(status=403) if method == "GET" and "/configmaps/" in path else None,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_request_that_fails_is_tried_again_with_pauses_until_it_works(
    bare: Any, proxy: tuple[FaultProxy, OperatorProcess], name: str
) -> None:
    faults, operator = proxy
    faults.rule = FAULTS[name]
    bare.apply_model()
    eventually("some faults", lambda: faults.hits >= 3, 40)
    # Jittered backoff: 0.5 s, 1 s, 2 s …, at least half of each.
    assert faults.hits < 200
    faults.rule = lambda _method, _path, _watch: None
    bare.wait_active()
    bare.wait_condition("Accepted", "True")
    assert answer(operator, "/healthz")[0] == 200


def test_watches_that_are_gone_or_cut_or_slow_lose_nothing(
    bare: Any, proxy: tuple[FaultProxy, OperatorProcess]
) -> None:
    faults, operator = proxy
    bare.apply_model()
    revision = bare.wait_active()
    for fault in (
        Fault(is_gone=True),
        Fault(cut_after_seconds=1.0),
        Fault(delay_seconds=1.0, cut_after_seconds=2.0),
    ):
        hits = faults.hits
        faults.rule = lambda _method, _path, is_watch, fault=fault: fault if is_watch else None
        # Those that are open now do not pass the proxy again: the next ones do.
        bare.cluster.kubectl("annotate", "ahp", "cpu", f"touched={hits}", "--overwrite")
        faults.cut()
        eventually("some watches hit", lambda hits=hits: faults.hits >= hits + 5, 40)
        bare.kubectl("delete", "deployment", revision, "--wait=false")
        eventually(
            f"the Deployment again under {fault}",
            lambda: bare.cluster.find("deployment", revision, "-n", bare.name),
            60,
        )
    faults.rule = lambda _method, _path, _watch: None
    assert answer(operator, "/healthz")[0] == 200
    bare.kubectl("delete", "am", "qca", "--timeout=60s")


def test_a_watch_that_ends_in_the_middle_of_a_line_ends_the_process_and_the_next_one_goes_on(
    bare: Any, proxy: tuple[FaultProxy, OperatorProcess]
) -> None:
    faults, operator = proxy
    bare.apply_model()
    revision = bare.wait_active()
    torn = Fault(cut_after_seconds=1.0, is_torn=True)
    faults.rule = lambda _method, path, is_watch: torn if is_watch and path.endswith("/pods") else None
    faults.cut()
    # 1 by kopf's own error, 4 where kopf hangs: never a process that is there and watches nothing.
    assert operator.wait() in (1, 4)
    faults.rule = lambda _method, _path, _watch: None
    bare.kubectl("delete", "deployment", revision)
    operator.start()
    eventually("the Deployment again", lambda: bare.cluster.find("deployment", revision, "-n", bare.name), 60)
