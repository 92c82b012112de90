"""A real kube-apiserver and etcd on free loopback ports, without a node: what integration tests and benchmarks run on.

Needs neither root nor Linux namespaces. Programs come from KUBEBUILDER_ASSETS (an unpacked envtest archive) where that is
set, else from the cache of earlier builds, else from a build.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from atheria_local import programs
from atheria_local.api_server import ApiServer
from atheria_local.errors import LocalError
from atheria_local.free_ports import free_port
from atheria_local.pki import Authority
from atheria_local.processes import Process, start, stop

ADDRESS = "127.0.0.1"
_API_SERVER = "kube-apiserver"
_CONTROLLERS = "kube-controller-manager"


class ControlPlane:
    """`with ControlPlane() as plane:` starts it and, whatever happens, ends it and deletes its folder.

    `controllers` adds kube-controller-manager (garbage collection, Deployments, EndpointSlices); there is no kubelet, so
    pods stay Pending unless a test writes their status.
    """

    def __init__(self, *, controllers: bool = False) -> None:
        self._controllers = controllers
        self._running: list[Process] = []
        self._folder = Path()
        self._server: ApiServer | None = None
        self.kubeconfig = Path()
        """Kubeconfig of an administrator."""
        self.kubectl: list[str] = []
        """Command to which arguments are added."""

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="atheria-control-plane-"))
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The API server does not end without its store: the other way round it would hang until it is killed.
        for process in reversed(self._running):
            stop([process], grace_seconds=5)
        self._running.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def kill_api_server(self) -> None:
        """End kube-apiserver at once, as a crash of its node does, and with it the controllers; its store stays."""
        for process in [process for process in self._running if process.name in (_CONTROLLERS, _API_SERVER)]:
            stop([process], grace_seconds=0)
            self._running.remove(process)

    def start_api_server(self) -> None:
        """Start it again on the same store, port and keys, and wait until it is ready. Raises LocalError."""
        if self._server is None or any(process.name == _API_SERVER for process in self._running):
            raise LocalError("kube-apiserver runs already or never did: call kill_api_server first")
        process = self._server.start_again(_program("kube-apiserver"), self._launch)
        self._server.wait_until_ready(self.kubectl, (process,))
        if self._controllers:
            # Those that cannot renew their lease end and start again. Without a lease they would live on, and their back-off,
            # which grows with each outage within two minutes, would keep them blind for up to a minute after it.
            self._start_controllers(self._server.authority)

    def _launch(self, name: str, command: Sequence[str]) -> Process:
        process = start(name, command, logs=self._folder / "log")
        self._running.append(process)
        return process

    def _start(self) -> None:
        authority = Authority(self._folder / "pki")
        port, etcd_port, peer_port = free_port(), free_port(), free_port()
        server = ApiServer(
            address=ADDRESS,
            port=port,
            etcd_port=etcd_port,
            etcd_peer_port=peer_port,
            data=self._folder / "etcd",
            authority=authority,
        )

        needs = server.start(_program("etcd"), _program("kube-apiserver"), self._launch)
        self._server = server
        self.kubeconfig = authority.kubeconfig(self._folder / "kubeconfig", server.url, server.admin())
        self.kubectl = [_program("kubectl"), f"--kubeconfig={self.kubeconfig}"]
        server.wait_until_ready(self.kubectl, needs)
        if self._controllers:
            self._start_controllers(authority)

    def _start_controllers(self, authority: Authority) -> None:
        self._launch(
            _CONTROLLERS,
            [
                _program("kube-controller-manager"),
                f"--kubeconfig={self.kubeconfig}",
                f"--service-account-private-key-file={authority.signing_key('service-accounts')}",
                f"--root-ca-file={authority.certificate}",
                "--use-service-account-credentials=true",
                "--leader-elect=false",
                # Without a kubelet every pod that is being deleted looks forgotten to it: it would end those that
                # a test keeps for a while, whenever its turn of 20 s comes.
                "--controllers=*,-pod-garbage-collector-controller",
                # Instead of 15 s: tests wait for it.
                "--horizontal-pod-autoscaler-sync-period=1s",
                f"--secure-port={free_port()}",
                f"--bind-address={ADDRESS}",
            ],
        )


def _program(name: str) -> str:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    # An envtest archive has no kube-controller-manager.
    if assets and name != "kube-controller-manager":
        program = Path(assets) / name
        if not os.access(program, os.X_OK):
            raise LocalError(
                f"KUBEBUILDER_ASSETS is {assets}, but {program} is not a program: unset it, or unpack an envtest archive there"
            )
        return str(program)
    programs.ensure(programs.KUBE)
    return programs.path(programs.KUBE, name)
