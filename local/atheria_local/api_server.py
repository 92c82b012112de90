"""etcd and kube-apiserver: their arguments and how they are started, for the test control plane and for the cluster."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atheria_local.pki import Authority, Certificate
from atheria_local.processes import Process, wait_until

SERVICE_RANGE = "10.96.0.0/16"
_FRONT_PROXY: Final = "front-proxy-client"
Starter = Callable[[str, Sequence[str]], Process]
"""(name, command) → started process: the callers differ in folders and network namespace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServer:
    """Where the API server listens and what it stores in."""

    address: str
    port: int
    etcd_port: int
    etcd_peer_port: int
    data: Path
    authority: Authority

    @property
    def url(self) -> str:
        """For kubeconfigs."""
        return f"https://{self.address}:{self.port}"

    def admin(self) -> Certificate:
        """A certificate that may do everything."""
        return self.authority.issue("atheria-admin", organization="system:masters")

    def start(self, etcd: str, apiserver: str, start: Starter) -> tuple[Process, Process]:
        """Start both; returns (etcd, kube-apiserver) without waiting for readiness."""
        store = start("etcd", self._etcd_command(etcd))
        return store, self.start_again(apiserver, start)

    def start_again(self, apiserver: str, start: Starter) -> Process:
        """Start kube-apiserver alone, on a store that runs: same address, certificates and keys."""
        return start("kube-apiserver", self._apiserver_command(apiserver))

    def wait_until_ready(
        self, kubectl: Sequence[str], needs: Sequence[Process], timeout_seconds: float = 180
    ) -> None:
        """Ask /readyz until it says ok. Raises LocalError with the log of a program that ended."""

        def ready() -> bool:
            asked = subprocess.run(
                [*kubectl, "get", "--raw", "/readyz", "--request-timeout=3s"],
                capture_output=True,
                timeout=20,
                check=False,
            )
            return asked.returncode == 0

        wait_until("the API server's readiness", ready, timeout_seconds=timeout_seconds, needs=needs)

    def _etcd_command(self, program: str) -> list[str]:
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.etcd_peer_port}"
        return [
            program,
            f"--data-dir={self.data}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--log-level=warn",
            # Nothing here has to survive a power cut.
            "--unsafe-no-fsync",
        ]

    def _apiserver_command(self, program: str) -> list[str]:
        names = [f"IP:{self.address}", "IP:127.0.0.1", "IP:10.96.0.1", "DNS:localhost", "DNS:kubernetes",
                 "DNS:kubernetes.default", "DNS:kubernetes.default.svc"]  # fmt: skip
        if self.address == "127.0.0.1":
            names.remove("IP:127.0.0.1")
        serving = self.authority.issue("kube-apiserver", names=names)
        to_kubelet = self.authority.issue("kube-apiserver-kubelet-client", organization="system:masters")
        tokens = self.authority.signing_key("service-accounts")
        front = self.authority.beside("front-proxy")
        proxy = front.issue(_FRONT_PROXY)
        return [
            program,
            f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
            f"--bind-address={self.address}",
            f"--advertise-address={self.address}",
            f"--secure-port={self.port}",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--client-ca-file={self.authority.certificate}",
            f"--kubelet-certificate-authority={self.authority.certificate}",
            f"--kubelet-client-certificate={to_kubelet.certificate}",
            f"--kubelet-client-key={to_kubelet.key}",
            # The node has no name that anyone else resolves.
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-account-key-file={tokens}",
            f"--service-account-signing-key-file={tokens}",
            "--service-account-issuer=https://kubernetes.default.svc",
            # The aggregation layer, as kubeadm sets it up: APIServices, e.g. of metrics.
            f"--requestheader-client-ca-file={front.certificate}",
            f"--requestheader-allowed-names={_FRONT_PROXY}",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={proxy.certificate}",
            f"--proxy-client-key-file={proxy.key}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--anonymous-auth=false",
            "--allow-privileged=true",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--profiling=false",
        ]
