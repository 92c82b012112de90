"""Helm against a real API server, and a stand-in for the kubelet that runs the chart's hook."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from atheria_contract import names
from atheria_local import programs
from atheria_local.control_plane import ControlPlane
from atheria_local.definitions import delete_definitions, nudge_deletions, wait_established
from bench.installation import kubeconfig_of

ROOT: Final = Path(__file__).parents[3]
CHART: Final = ROOT / "charts" / "atheria"
RELEASED: Final = Path(__file__).with_name("released") / "atheria-0.1.0"
"""The chart as it was before this version, unpacked; its next release takes its place."""
SYSTEM: Final = "atheria-system"
MODELS: Final = "demo"
DEFINITIONS: Final = tuple(
    f"customresourcedefinition.apiextensions.k8s.io/{plural}.{names.GROUP}"
    for plural in (names.MODEL_PLURAL, names.PROFILE_PLURAL)
)
_PASSING: Final = (
    "event",
    "lease.coordination.k8s.io",
    "controllerrevision.apps",
    "apiservice.apiregistration.k8s.io",
)
"""Kinds that come and go by themselves; the last one with its definitions."""
_MADE: Final = ("pod/", "replicaset.apps/", "endpoints/", "endpointslice.discovery.k8s.io/")
_WAIT_SECONDS: Final = 90.0
MONITORING: Final = "monitoring.coreos.com"
Object = dict[str, Any]


class Cluster:
    """A control plane with kubectl and Helm."""

    def __init__(self, plane: ControlPlane, directory: Path) -> None:
        self._plane = plane
        self._directory = directory
        programs.ensure(programs.HELM)
        self._helm = os.environ.get("ATHERIA_TEST_HELM") or programs.path(programs.HELM)

    def kubectl(
        self, *arguments: str, stdin: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as administrator."""
        done = subprocess.run(
            [*self._plane.kubectl, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0 or not check, f"kubectl {arguments}: {done.stderr}"
        return done

    def helm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run helm as administrator; its outcome, well or not."""
        return subprocess.run(
            [self._helm, *arguments, f"--kubeconfig={self._plane.kubeconfig}"],
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
            env={**os.environ, "HOME": str(self._directory), "HELM_DRIVER": "secret"},
        )

    def succeeds(self, *arguments: str) -> str:
        """What helm says; fails where it fails."""
        done = self.helm(*arguments)
        assert done.returncode == 0, f"helm {arguments}: {done.stderr}"
        return done.stdout

    def take_over(self, command: str, release: str, *arguments: str) -> None:
        """Install what another release kept: by Helm's flag, or, before 3.17, by the marks of a release that it looks for."""
        if "--take-ownership" in self.succeeds(command, "--help"):
            self.succeeds(command, release, *arguments, "--take-ownership")
            return
        marks = (f"meta.helm.sh/release-name={release}", f"meta.helm.sh/release-namespace={SYSTEM}")
        self.kubectl("annotate", "--overwrite", *DEFINITIONS, *marks)
        self.succeeds(command, release, *arguments)

    def get(self, *arguments: str) -> Object:
        """One object."""
        found: Object = json.loads(self.kubectl("get", *arguments, "-o", "json").stdout)
        return found

    def apply(self, body: Object) -> None:
        """Make an object."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps(body))

    def everything(self) -> frozenset[str]:
        """`kind/namespace/name` of all that is there, but what comes and goes by itself."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while (found := self._listed()) is None:
            assert time.monotonic() < deadline, "the kinds that the API server names cannot be listed"
            time.sleep(0.2)
        return found

    def written(self) -> frozenset[str]:
        """The same without what controllers make of it."""
        return frozenset(name for name in self.everything() if not name.startswith(_MADE))

    def _listed(self) -> frozenset[str] | None:
        """None while a kind goes or comes: its definition is deleted and its name still known, or the other way round."""
        kinds = self.kubectl("api-resources", "--verbs=list,delete", "-o", "name").stdout.split()
        columns = "{.kind} {.apiVersion} {.metadata.namespace} {.metadata.name}"
        done = self.kubectl(
            "get",
            ",".join(kind for kind in kinds if not kind.startswith("events")),
            "-A",
            "--ignore-not-found",
            "-o",
            f"jsonpath={{range .items[*]}}{columns}{{'\\n'}}{{end}}",
            check=False,
        )
        if done.returncode != 0:
            return None
        found = set()
        for line in done.stdout.splitlines():
            kind, version, *rest = line.split(" ")
            group = version.rpartition("/")[0]
            name = f"{kind.lower()}{'.' if group else ''}{group}/{'/'.join(part for part in rest if part)}"
            if not name.startswith(_PASSING):
                found.add(name)
        return frozenset(found)

    def settled(self, wanted: frozenset[str]) -> frozenset[str]:
        """What is there beyond `wanted`, once it is nothing or the time is over: controllers delete a little later."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while (extra := self.everything() - wanted) and time.monotonic() < deadline:
            nudge_deletions(self._plane.kubectl)
            time.sleep(0.2)
        return extra

    def clean(self) -> None:
        """No release, no definition, and the two namespaces."""
        for release in json.loads(self.succeeds("list", "-A", "-o", "json")):
            self.helm("uninstall", release["name"], "-n", release["namespace"], "--no-hooks")
        for model in self.kubectl("get", names.MODEL_PLURAL, "-A", "-o", "name", check=False).stdout.split():
            self.kubectl(
                "patch",
                model,
                "-n",
                MODELS,
                "--type=merge",
                "-p",
                '{"metadata":{"finalizers":null}}',
                check=False,
            )
        delete_definitions(self._plane.kubectl, *(one.rpartition("/")[2] for one in DEFINITIONS))
        for namespace in (SYSTEM, MODELS):
            self.kubectl("create", "namespace", namespace, check=False)
            self.kubectl("wait", "--for=create", "serviceaccount/default", "-n", namespace, "--timeout=60s")
            self.kubectl(
                "wait", "--for=create", "configmap/kube-root-ca.crt", "-n", namespace, "--timeout=60s"
            )

    def know_monitors(self) -> None:
        """Definitions of monitors and rules by name alone: as if Prometheus' operator were installed."""
        for kind in ("PodMonitor", "ServiceMonitor", "PrometheusRule"):
            plural = f"{kind.lower()}s"
            schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            self.apply(
                {
                    "apiVersion": "apiextensions.k8s.io/v1",
                    "kind": "CustomResourceDefinition",
                    "metadata": {"name": f"{plural}.{MONITORING}"},
                    "spec": {
                        "group": MONITORING,
                        "scope": "Namespaced",
                        "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
                        "versions": [version],
                    },
                }
            )
            wait_established(self._plane.kubectl, f"{plural}.{MONITORING}")

    def make_model(self, name: str = "qca") -> None:
        """A model with the operator's finalizer, as the operator would leave it."""
        wait_established(self._plane.kubectl)
        self.apply(
            {
                "apiVersion": names.API_VERSION,
                "kind": names.MODEL_KIND,
                "metadata": {"name": name, "namespace": MODELS, "finalizers": [names.FINALIZER]},
                "spec": {"model": {"source": "builtin://echo"}},
            }
        )

    @contextlib.contextmanager
    def hooks_run(self) -> Iterator[list[str]]:
        """Meanwhile pods of Jobs run as a kubelet would run them: their program, with their account's rights.

        Gives the names of those that ran; a program that fails makes its pod fail.
        """
        ended, ran = threading.Event(), list[str]()
        worker = threading.Thread(target=self._run_hooks, args=(ended, ran), daemon=True)
        worker.start()
        try:
            yield ran
        finally:
            ended.set()
            worker.join(timeout=_WAIT_SECONDS)
            assert not worker.is_alive(), "the stand-in for the kubelet does not end"

    def _run_hooks(self, ended: threading.Event, ran: list[str]) -> None:
        while not ended.wait(0.1):
            listed = self.kubectl(
                "get", "pods", "-n", SYSTEM, "-l", "batch.kubernetes.io/job-name", "-o", "json", check=False
            )
            for pod in json.loads(listed.stdout or "{}").get("items", ()):
                if pod["status"].get("phase") == "Pending" and pod["metadata"]["name"] not in ran:
                    ran.append(pod["metadata"]["name"])
                    self._run_pod(pod)

    def _run_pod(self, pod: Object) -> None:
        container = pod["spec"]["containers"][0]
        account = kubeconfig_of(
            self._plane.kubectl,
            self._plane.kubeconfig,
            pod["spec"]["serviceAccountName"],
            self._directory / f"{pod['metadata']['name']}.kubeconfig",
        )
        command = [sys.executable, *container["command"][1:]]
        done = subprocess.run(
            command,
            env={**os.environ, "KUBECONFIG": str(account)},
            capture_output=True,
            timeout=80,
            check=False,
        )
        phase = "Succeeded" if done.returncode == 0 else "Failed"
        status = json.dumps({"status": {"phase": phase, "message": done.stderr.decode()[-500:]}})
        self.kubectl(
            *("patch", "pod", pod["metadata"]["name"], "-n", SYSTEM, "--subresource=status", "--type=merge"),
            *("-p", status),
            check=False,
        )
