"""A real API server with controllers, the chart's definitions and the operator as its own process with the chart's rights.

There is no kubelet and no scheduler: a test plays them by writing the status of pods.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import grpc

from atheria_contract import names
from atheria_contract.generated import control_pb2, control_pb2_grpc
from atheria_local.control_plane import ControlPlane
from atheria_local.definitions import wait_established
from atheria_local.pki import Authority
from atheria_operator import settings
from bench import installation
from bench.installation import CHART, SYSTEM_NAMESPACE

LEASE_RULES: list[dict[str, Any]] = [
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": [names.LEASE_OPERATOR],
        "verbs": ["get", "update"],
    },
]
"""As the chart's Role has them; tests/integration/operator/test_rights.py compares."""
T = TypeVar("T")


def eventually(what: str, look: Callable[[], T | None], timeout_seconds: float = 60) -> T:
    """The first value of `look` that is not None or False. AssertionError with `what` after the time."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {timeout_seconds:g} s"
        time.sleep(0.05)


class Cluster:
    """kubectl on a running control plane."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl, whatever comes of it."""
        return subprocess.run(
            [*self.plane.kubectl, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl; AssertionError with its words when it fails."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def apply(self, *objects: dict[str, Any]) -> None:
        """Create or change objects."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(items))

    def get(self, *arguments: str) -> Any:
        """An object or a list as JSON."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def find(self, *arguments: str) -> Any:
        """An object as JSON, or None when there is none."""
        found = self.kubectl("get", *arguments, "--ignore-not-found", "-o", "json")
        return json.loads(found) if found else None

    def patch_status(self, what: str, namespace: str, status: dict[str, Any]) -> None:
        """Merge into the status of an object."""
        self.kubectl(
            "patch", what, "-n", namespace, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status})
        )  # fmt: skip

    def install(self) -> None:
        """The definitions, the profiles, and a service account that may do what the chart's roles say."""
        for file in sorted((CHART / "files" / "crds").glob("*.yaml")):
            self.kubectl("apply", "--server-side", "-f", str(file))
        wait_established(self.plane.kubectl)
        for file in sorted((CHART / "files" / "profiles").glob("*.yaml")):
            self.kubectl("apply", "--server-side", "-f", str(file))
        role = next(
            item for item in installation.rendered_rights("operator-rbac") if item["kind"] == "ClusterRole"
        )
        group = "rbac.authorization.k8s.io"
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM_NAMESPACE}})
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": "operator", "namespace": SYSTEM_NAMESPACE},
            },
            {
                "apiVersion": f"{group}/v1",
                "kind": "ClusterRole",
                "metadata": {"name": "operator"},
                "rules": role["rules"],
            },
            {
                "apiVersion": f"{group}/v1",
                "kind": "Role",
                "metadata": {"name": "operator", "namespace": SYSTEM_NAMESPACE},
                "rules": LEASE_RULES,
            },
            {
                "apiVersion": f"{group}/v1",
                "kind": "RoleBinding",
                "metadata": {"name": "operator", "namespace": SYSTEM_NAMESPACE},
                "roleRef": {"apiGroup": group, "kind": "Role", "name": "operator"},
                "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": SYSTEM_NAMESPACE}],
            },
            {
                "apiVersion": f"{group}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": "operator"},
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "operator"},
                "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": SYSTEM_NAMESPACE}],
            },
        )

    def kubeconfig_of_the_operator(self, file: Path, account: str = "operator") -> Path:
        """A kubeconfig with the service account's token."""
        return installation.kubeconfig_of(self.plane.kubectl, self.plane.kubeconfig, account, file)


class OperatorProcess:
    """`atheria-operator` as the container starts it, with a kubeconfig in place of the pod's own credentials."""

    logs: ClassVar[set[Path]] = set()
    """Of all processes of this run, for the report of a test that fails."""

    def __init__(self, directory: Path, kubeconfig: Path, **environment: str) -> None:
        self._log = directory / "operator.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.demand_port = 0
        self.metrics_port = 0
        self._environment = installation.operator_environment(kubeconfig, **environment)

    @property
    def log(self) -> str:
        """What it has logged since the last start."""
        return self._log.read_text(encoding="utf-8")

    def start(self) -> None:
        """Start it and wait until it says on which ports it listens."""
        self.logs.add(self._log)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [installation.program("atheria-operator")],
                env=self._environment,
                stdout=log,
                stderr=log,
            )

        def ports() -> re.Match[str] | None:
            assert self._process is not None
            assert self._process.poll() is None, self.log
            return re.search(r"demand_port=(\d+) metrics_port=(\d+)", self.log)

        found = eventually("the operator's start", ports, 60)
        self.demand_port, self.metrics_port = int(found[1]), int(found[2])

    def port(self, name: str) -> int:
        """One that it has said it listens on, e.g. external_scaler_port."""
        found = eventually(f"{name} of the operator", lambda: re.search(rf"{name}=(\d+)", self.log), 60)
        return int(found[1])

    @property
    def certificates(self) -> Path:
        """Folder of the certificate for the external metrics, and of its authority's."""
        return Path(self._environment[settings.ENV_EXTERNAL_METRICS_CERTIFICATES])

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None
        return self._process.pid

    def wait(self) -> int:
        """The exit status, once it ends by itself."""
        assert self._process is not None
        return self._process.wait(120)

    def terminate(self) -> int:
        """SIGTERM; returns the exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(120)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(30)


STANDBY_KEY = "0123456789abcdef" * 4
"""Of the operator that tests share."""
METRICS_SERVICE = "atheria-operator-metrics-api"
SCALER_ADDRESS = "atheria-operator.atheria-system:8004"
"""As ScaledObjects name it; tests call the port that the operator says."""


def interop_environment(cluster: Cluster, directory: Path) -> dict[str, str]:
    """Variables of an operator that other autoscalers ask too, with the certificate and the right that the chart gives it."""
    authority = Authority(directory / "metrics-authority")
    issued = authority.issue("operator", names=[f"DNS:{METRICS_SERVICE}.{SYSTEM_NAMESPACE}.svc"])
    certificates = directory / "metrics-certificates"
    certificates.mkdir()
    shutil.copy(issued.certificate, certificates / "tls.crt")
    shutil.copy(issued.key, certificates / "tls.key")
    shutil.copy(authority.certificate, certificates / "ca.crt")
    group = "rbac.authorization.k8s.io"
    cluster.apply(
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "atheria-operator", "namespace": "kube-system"},
            "roleRef": {
                "apiGroup": group,
                "kind": "Role",
                "name": "extension-apiserver-authentication-reader",
            },
            "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": SYSTEM_NAMESPACE}],
        }
    )
    return {
        settings.ENV_EXTERNAL_SCALER_PORT: "0",
        settings.ENV_EXTERNAL_SCALER_ADDRESS: SCALER_ADDRESS,
        settings.ENV_EXTERNAL_METRICS_PORT: "0",
        settings.ENV_EXTERNAL_METRICS_CERTIFICATES: str(certificates),
    }


class Gateway:
    """Reports demand as a gateway's activator does."""

    def __init__(self, port: int, name: str = "gateway-0") -> None:
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self._name = name
        self._sequence = 0

    def report(
        self,
        model: str,
        namespace: str,
        *,
        held: int = 0,
        in_flight: int = 0,
        arrivals: int = 0,
        revisions: dict[str, tuple[int, int, float]] | None = None,
    ) -> int:
        """Send one report on its own stream; returns how many models the sink took.

        `revisions` is (calls, errors, seconds of each call) by name.
        """
        self._sequence += 1
        line = control_pb2.ModelDemand(
            namespace=namespace,
            name=model,
            held_requests=held,
            in_flight_requests=in_flight,
            arrivals_total=arrivals,
            revisions=[
                control_pb2.RevisionCalls(
                    revision=name,
                    calls_total=calls,
                    errors_total=errors,
                    latency=[control_pb2.LatencyBucket(up_to_seconds=seconds, calls_total=calls)],
                )
                for name, (calls, errors, seconds) in (revisions or {}).items()
            ],
        )
        report = control_pb2.DemandReport(gateway=self._name, sequence=self._sequence, models=[line])
        stub: Any = control_pb2_grpc.DemandSinkStub(self._channel)  # type: ignore[no-untyped-call]
        answers = list(stub.Report(iter([report]), timeout=10, wait_for_ready=True))
        return int(answers[0].models)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


class Reporting:
    """A gateway that says the same again and again, on a thread of its own, until it is told otherwise; used as a context."""

    def __init__(self, port: int, model: str, namespace: str) -> None:
        self._gateway = Gateway(port)
        self._model, self._namespace = model, namespace
        self._said: dict[str, int] = {}
        self._ended = threading.Event()
        self._failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def say(self, **calls: int) -> None:
        """What is reported from now on, as in `Gateway.report`."""
        assert not self._failed, self._failed
        self._said = calls

    def _run(self) -> None:
        try:
            while not self._ended.wait(0.3):
                self._gateway.report(self._model, self._namespace, **self._said)
        except Exception as error:  # noqa: BLE001 - told by who uses it
            self._failed.append(error)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30)
        self._gateway.close()
        assert not self._failed, self._failed


class Namespace:
    """One test's namespace: models in it, and what belongs to them."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name

    def apply_model(self, name: str = "qca", **spec: Any) -> None:
        """Apply an AtheriaModel of the built-in echo."""
        self.cluster.apply(self.manifest(name, **spec))

    def manifest(self, name: str = "qca", **spec: Any) -> dict[str, Any]:
        """An AtheriaModel; parts of `spec` override the defaults."""
        return {
            "apiVersion": names.API_VERSION,
            "kind": names.MODEL_KIND,
            "metadata": {"name": name, "namespace": self.name},
            "spec": {"model": {"source": "builtin://echo"}, **spec},
        }

    def get(self, *arguments: str) -> Any:
        """An object or a list of this namespace."""
        return self.cluster.get(*arguments, "-n", self.name)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """kubectl in this namespace."""
        return self.cluster.kubectl(*arguments, "-n", self.name, stdin=stdin)

    def look_now(self, name: str = "qca") -> None:
        """Wake the model's loop, which would look by itself within 3 minutes, or 30 s with class keda."""
        self.kubectl("label", "am", name, f"look={time.monotonic_ns()}", "--overwrite")

    def model(self, name: str = "qca") -> Any:
        """The model as it is stored."""
        return self.get(names.MODEL_PLURAL, name)

    def conditions(self, name: str = "qca") -> dict[str, dict[str, Any]]:
        """Conditions of the current generation by type."""
        model = self.model(name)
        return {
            condition["type"]: condition
            for condition in model.get("status", {}).get("conditions", [])
            if condition.get("observedGeneration") == model["metadata"]["generation"]
        }

    def wait_condition(
        self, kind: str, status: str, reason: str = "", name: str = "qca", timeout_seconds: float = 60
    ) -> dict[str, Any]:
        """The condition once it has this status (and reason) for the current generation."""

        def look() -> dict[str, Any] | None:
            found = self.conditions(name).get(kind, {})
            return found if found.get("status") == status and reason in ("", found["reason"]) else None

        return eventually(f"{kind}={status} {reason} of {name}", look, timeout_seconds)

    def wait_active(self, name: str = "qca", other_than: str = "") -> str:
        """The active revision once there is one (other than a given one)."""

        def look() -> str | None:
            active = str(self.model(name).get("status", {}).get("activeRevision") or "")
            return active if active != other_than else None

        return eventually(f"an active revision of {name}", look)

    def replicas(self, kind: str, name: str) -> int:
        """spec.replicas of an object."""
        return int(self.get(kind, name)["spec"]["replicas"])

    def wait_replicas(self, kind: str, name: str, replicas: int) -> None:
        """Wait until an object asks for so many pods."""
        eventually(f"{replicas} replicas of {kind} {name}", lambda: self.replicas(kind, name) == replicas)

    def wait_pods(self, revision: str, count: int = 1) -> list[dict[str, Any]]:
        """The pods of a revision that are not going away, once there are so many."""

        def look() -> list[dict[str, Any]] | None:
            pods = [
                pod
                for pod in self.get("pods")["items"]
                if pod["metadata"]["name"].startswith(revision)
                and not pod["metadata"].get("deletionTimestamp")
            ]
            return pods if len(pods) == count else None

        return eventually(f"{count} pods of {revision}", look)

    def make_ready(self, revision: str, count: int = 1) -> None:
        """Play scheduler and kubelet: the pods of a revision run and are ready."""
        for pod in self.wait_pods(revision, count):
            self.set_pod(pod["metadata"]["name"], ready=True)

    def set_pod(
        self, pod: str, *, ready: bool = False, state: dict[str, Any] | None = None, **status: Any
    ) -> None:
        """Write a pod's status as kubelet would; `state` is that of its container."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        truth = "True" if ready else "False"
        self.cluster.patch_status(
            f"pod/{pod}",
            self.name,
            {
                "phase": "Running",
                "conditions": [
                    {"type": "PodScheduled", "status": "True", "lastTransitionTime": now},
                    {"type": "Ready", "status": truth, "lastTransitionTime": now},
                ],
                "containerStatuses": [
                    {
                        "name": names.CONTAINER_MODEL,
                        "image": "x",
                        "imageID": "x",
                        "ready": ready,
                        "restartCount": 0,
                        "state": state or {"running": {"startedAt": now}},
                    }
                ],
                **status,
            },
        )


@contextmanager
def running_operator(cluster: Cluster, directory: Path, **environment: str) -> Iterator[OperatorProcess]:
    """The operator, ended with the block."""
    operator = OperatorProcess(
        directory, cluster.kubeconfig_of_the_operator(directory / "kubeconfig"), **environment
    )
    try:
        operator.start()
        yield operator
    finally:
        operator.kill()
