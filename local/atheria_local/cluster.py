"""`up`, `down` and `status` of the local cluster. Called by the command line."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from atheria_local import (
    cgroups,
    dns,
    gpus,
    images,
    leftovers,
    network,
    node,
    paths,
    prerequisites,
    processes,
    programs,
)
from atheria_local.api_server import SERVICE_RANGE, ApiServer
from atheria_local.errors import LocalError
from atheria_local.pki import Authority
from atheria_local.processes import Process, wait_until
from atheria_local.progress import say, step
from atheria_local.shell import run

_LOCK: Final = Path("/run/atheria-local.lock")
_STOP_ORDER: Final = (
    ("forward", "kubelet", "kube-proxy", "policies", "coredns"),
    ("containerd", "kube-scheduler", "kube-controller-manager"),
    # The API server does not end without its store.
    ("kube-apiserver",),
    ("etcd",),
)
_STATELESS: Final = frozenset(
    {
        "forward",
        "kubelet",
        "kube-proxy",
        "policies",
        "coredns",
        "kube-scheduler",
        "kube-controller-manager",
    }
)
_READY_SECONDS: Final = 30
_FORWARDS: Final = (("127.0.0.1:8001", 30801), ("127.0.0.1:8000", 30800))
"""Host address → the gateway's node port (charts/atheria/values-local.yaml)."""


def kubectl_command() -> list[str]:
    """kubectl as an administrator of the cluster."""
    return [programs.path(programs.KUBE, "kubectl"), f"--kubeconfig={paths.KUBECONFIG}"]


def up(pretended_gpus: Sequence[tuple[str, int]] = ()) -> None:
    """Start what does not run yet; a cluster that is up stays as it is. Raises LocalError with the remedy."""
    needs_build = not all(build.is_done() for build in programs.ALL)
    prerequisites.check_machine(first_build=needs_build)
    programs.ensure(*programs.ALL)
    programs.install_for_people()
    with _locked():
        stopped = _not_running() if _is_ours() else None
        if stopped is not None and not stopped and _node_gets_ready():
            say(f"✓ the cluster is up already: KUBECONFIG={paths.KUBECONFIG}")
        elif stopped and stopped <= _STATELESS:
            with step(f"start again: {', '.join(sorted(stopped))}"):
                _start_stateless(stopped)
        else:
            _start_anew()
        for profile, count in pretended_gpus:
            gpus.pretend(kubectl_command(), profile, count)
            say(f"✓ {count} pretended {gpus.RESOURCE} with the labels of {profile}")


def down() -> None:
    """Stop everything and leave nothing; says so when there is nothing."""
    if not _remains():
        say("nothing to remove: no local cluster here")
        return
    if reason := prerequisites.why_not_here():
        raise LocalError(reason)
    with _locked():
        _refuse_foreign()
        with step("stop the local cluster"):
            _stop()
            leftovers.remove(paths.CLUSTER)
            paths.KUBECONFIG.unlink(missing_ok=True)
            paths.IMAGE_VALUES.unlink(missing_ok=True)


def status() -> bool:
    """Print each program and the node's word; True when all is up."""
    if not _is_ours():
        say("down: `atheria-local up` starts the cluster")
        return False
    stopped = _not_running()
    for name in sorted({name for group in _STOP_ORDER for name in group}):
        record = processes.recorded(paths.RECORDS).get(name)
        say(
            f"{name:<26}{'stopped: ' + processes.last_line(paths.LOGS / f'{name}.log') if name in stopped or record is None else f'running, pid {record.pid}'}"
        )
    ready = not stopped and _node_is_ready()
    say(f"{'node ' + node.NODE_NAME:<26}{'Ready' if ready else 'not ready'}")
    say(f"{'kubeconfig':<26}{paths.KUBECONFIG}")
    return ready


def _start_anew() -> None:
    if _remains():
        _refuse_foreign()
        with step("remove what an earlier run left"):
            _stop()
            leftovers.remove(paths.CLUSTER)
    prerequisites.check_ports()
    paths.RUN.mkdir(parents=True, exist_ok=True)
    paths.OWNER.write_text(str(paths.REPOSITORY))
    paths.CLUSTER.mkdir(parents=True, exist_ok=True)
    with step("network namespace, keys"):
        network.create()
        cgroups.create()
        authority = Authority(paths.PKI)
    server = _server(authority)
    with step("containerd"):
        containerd = _launch("containerd", node.containerd_command())
        wait_until("containerd's socket", _containerd_answers, timeout_seconds=30, needs=[containerd])
        images.load_pause()
    with step("etcd, kube-apiserver"):
        needs = server.start(
            programs.path(programs.KUBE, "etcd"), programs.path(programs.KUBE, "kube-apiserver"), _launch
        )
        authority.kubeconfig(paths.KUBECONFIG, server.url, server.admin())
        server.wait_until_ready(kubectl_command(), needs, timeout_seconds=90)
    with step("controllers, scheduler, DNS, kubelet, kube-proxy"):
        _start_stateless()
    images.delete_outdated()


def _stateless_commands(authority: Authority, server: ApiServer) -> dict[str, list[str]]:
    """Commands of the programs that may be started again at any time: all they know is in the API server."""
    kube = {name: programs.path(programs.KUBE, name) for name in programs.KUBE_PROGRAMS}
    manager = authority.issue("system:kube-controller-manager")
    scheduler = authority.issue("system:kube-scheduler")
    manager_config = authority.kubeconfig(
        paths.CLUSTER / "controller-manager.kubeconfig", server.url, manager
    )
    scheduler_config = authority.kubeconfig(paths.CLUSTER / "scheduler.kubeconfig", server.url, scheduler)
    return {
        "kube-controller-manager": network.inside(
            kube["kube-controller-manager"],
            f"--kubeconfig={manager_config}",
            f"--service-account-private-key-file={authority.signing_key('service-accounts')}",
            f"--root-ca-file={authority.certificate}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
        ),
        "kube-scheduler": network.inside(
            kube["kube-scheduler"], f"--kubeconfig={scheduler_config}", "--leader-elect=false"
        ),
        "coredns": network.inside(*dns.coredns_command(programs.path(programs.COREDNS), paths.KUBECONFIG)),
        "kubelet": network.inside(*node.kubelet_command(kube["kubelet"], authority, server.url)),
        "kube-proxy": network.inside(*node.kube_proxy_command(kube["kube-proxy"], authority, server.url)),
        "policies": network.inside(*_policies_command(authority, server)),
        # In the host's own network: it publishes the gateway there.
        "forward": [
            programs.path(programs.FORWARD),
            *(f"{listen}={network.NODE_ADDRESS}:{port}" for listen, port in _FORWARDS),
        ],
    }


def _policies_command(authority: Authority, server: ApiServer) -> list[str]:
    client = server.admin()
    return [
        *(sys.executable, "-m", "atheria_local.policies"),
        f"--server={server.address}:{server.port}",
        f"--authority={authority.certificate}",
        f"--certificate={client.certificate}",
        f"--key={client.key}",
    ]


def _server(authority: Authority) -> ApiServer:
    return ApiServer(
        address=network.NODE_ADDRESS,
        port=6443,
        etcd_port=2379,
        etcd_peer_port=2380,
        data=paths.CLUSTER / "etcd",
        authority=authority,
    )


def _start_stateless(names: set[str] | None = None) -> None:
    """Start these (None: all), and wait for the node."""
    authority = Authority(paths.PKI)
    commands = _stateless_commands(authority, _server(authority))
    started = [
        processes.start(name, command, logs=paths.LOGS, records=paths.RECORDS)
        for name, command in commands.items()
        if names is None or name in names
    ]
    dns.publish(kubectl_command())
    wait_until("the node's readiness", _node_is_ready, timeout_seconds=90, needs=started)


def _launch(name: str, command: Sequence[str]) -> Process:
    return processes.start(name, network.inside(*command), logs=paths.LOGS, records=paths.RECORDS)


def _stop() -> None:
    records = processes.recorded(paths.RECORDS)
    for group in _STOP_ORDER:
        processes.stop([records[name] for name in group if name in records], grace_seconds=5)


def _containerd_answers() -> bool:
    asked = subprocess.run(
        ["ctr", f"--address={paths.CONTAINERD_SOCKET}", "--connect-timeout=1s", "version"],
        capture_output=True,
        timeout=20,
        check=False,
    )
    return asked.returncode == 0


def _node_gets_ready() -> bool:
    """Where all programs run: one look that fails on a busy machine is no reason to delete a cluster with all that is in it."""
    try:
        wait_until("the node's readiness", _node_is_ready, timeout_seconds=_READY_SECONDS)
    except LocalError:
        return False
    return True


def _node_is_ready() -> bool:
    answer = run(
        [*kubectl_command(), "get", "node", node.NODE_NAME, "-o", "json", "--request-timeout=5s"],
        timeout_seconds=20,
        check=False,
    )
    if not answer:
        return False
    conditions = json.loads(answer).get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _not_running() -> set[str]:
    """Names of the programs that should run and do not."""
    records = processes.recorded(paths.RECORDS)
    names = {name for group in _STOP_ORDER for name in group}
    return {name for name in names if name not in records or not records[name].is_alive()}


def _remains() -> bool:
    return paths.RUN.exists() or paths.CLUSTER.exists() or network.exists()


def _owner() -> Path | None:
    try:
        return Path(paths.OWNER.read_text())
    except FileNotFoundError:
        return None


def _is_ours() -> bool:
    return _owner() == paths.REPOSITORY


def _refuse_foreign() -> None:
    """Raise LocalError when another checkout's cluster runs; the remains of one that ended may be removed by us."""
    owner = _owner()
    if owner is None or owner == paths.REPOSITORY:
        return
    records = processes.recorded(owner / ".local" / "cluster" / "processes")
    if any(record.is_alive() for record in records.values()):
        raise LocalError(
            f"the local cluster of {owner} is up, and one fits on a machine: run `make demo-down` in {owner} first"
        )
    shutil.rmtree(owner / ".local" / "cluster", ignore_errors=True)


@contextmanager
def _locked() -> Iterator[None]:
    """One `up` or `down` at a time. Raises LocalError when another one runs."""
    with _LOCK.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LocalError(
                "another `atheria-local up` or `down` runs on this machine: wait for it, then run again"
            ) from error
        yield
