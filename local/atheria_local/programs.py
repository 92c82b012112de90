"""The cluster's programs, built from the Go modules beside this package and kept in the cache by content.

A build is named by the hash of its module's files, so a changed pin builds anew and an unchanged one never. The builds
run side by side; each is made in a temporary folder and renamed, so a killed build leaves nothing that looks whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atheria_local import paths, versions
from atheria_local.go_toolchain import ensure_go
from atheria_local.progress import step
from atheria_local.shell import run

KUBE_PROGRAMS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)
_BUILD_TIMEOUT_SECONDS = 3000
_KEPT: Final = "kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One `go build`: module folder, package, the program's name, and other names that it answers to."""

    module: str
    package: str
    program: str
    version: str
    links: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    """`package.name=value` set by the linker: Go modules do not know the version that they are built as."""
    minutes: str = ""
    """What a first build takes on two cores, said before it starts; empty for seconds."""
    more: tuple[str, ...] = ()
    """Packages that are built with it; their programs are named by the last words of their paths."""
    dependency: str = ""
    """A Go module that the program is built from and whose `folders`, e.g. with its definitions, are kept beside the program."""
    folders: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where the finished program lies."""
        digest = hashlib.sha256(" ".join((*self.variables, *self.more, *self.folders)).encode())
        module = paths.MODULES / self.module
        for file in sorted(module.rglob("*")):
            if file.is_file():
                digest.update(str(file.relative_to(module)).encode() + b"\0" + file.read_bytes())
        return paths.CACHE / "programs" / f"{self.program}-{self.version}-{digest.hexdigest()[:12]}"

    def is_done(self) -> bool:
        """True when the program is in the cache."""
        return (self.folder / self.program).exists()


KUBE_VERSION = tuple(
    f"{package}.{name}={value}"
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    for name, value in (
        ("gitVersion", f"v{versions.KUBERNETES}"),
        ("gitMajor", versions.KUBERNETES.split(".")[0]),
        ("gitMinor", versions.KUBERNETES.split(".")[1]),
        ("gitCommit", ""),
        ("gitTreeState", ""),
    )
)
KUBE = Build(
    module="kube",
    package=".",
    program="kube",
    version=versions.KUBERNETES,
    links=KUBE_PROGRAMS,
    variables=KUBE_VERSION,
    minutes="about 5 min",
)
PAUSE = Build(module="kube", package="./pause", program="pause", version=versions.KUBERNETES)
FORWARD = Build(module="kube", package="./forward", program="forward", version=versions.KUBERNETES)
COREDNS = Build(
    module="coredns",
    package="github.com/coredns/coredns",
    program="coredns",
    version=versions.COREDNS,
    minutes="about 2 min",
)
HELM = Build(
    module="helm",
    package="helm.sh/helm/v4/cmd/helm",
    program="helm",
    version=versions.HELM,
    minutes="about 3 min",
)
ALL = (KUBE, COREDNS, HELM, PAUSE, FORWARD)
CERT_MANAGER = Build(
    module="cert-manager",
    package=".",
    program="cert-manager",
    version=versions.CERT_MANAGER,
    minutes="about 4 min",
    dependency="github.com/cert-manager/cert-manager",
    folders=("deploy/crds",),
)
KEDA = Build(
    module="keda",
    package="github.com/kedacore/keda/v2/cmd/operator",
    program="keda-operator",
    version=versions.KEDA,
    variables=(f"github.com/kedacore/keda/v2/version.Version={versions.KEDA}",),
    minutes="about 12 min",
    more=("github.com/kedacore/keda/v2/cmd/adapter",),
    dependency="github.com/kedacore/keda/v2",
    folders=("config/crd/bases", "config/rbac", "config/metrics-server"),
)
ENVOY_GATEWAY = Build(
    module="envoy-gateway",
    package=".",
    program="envoy-gateway",
    version=versions.ENVOY_GATEWAY,
    minutes="about 6 min",
    dependency="github.com/envoyproxy/gateway",
    folders=("charts/gateway-helm/charts/crds/crds",),
)
OPTIONAL = {"cert-manager": (CERT_MANAGER,), "keda": (KEDA,), "envoy-gateway": (ENVOY_GATEWAY,)}
"""Programs of others that Atheria works with, for tests beside the real ones; built only when they are asked for by these names."""


def chosen(also: Sequence[str] = ()) -> tuple[Build, ...]:
    """All programs of the local cluster, and those of OPTIONAL with these names."""
    return (*ALL, *(build for name in also for build in OPTIONAL[name]))


def ensure(*builds: Build) -> None:
    """Build what is not in the cache yet, side by side. Raises LocalError with the compiler's last words."""
    with _one_at_a_time():
        missing = [build for build in builds if not build.is_done()]
        if not missing:
            return
        go = ensure_go()
        with ThreadPoolExecutor(max_workers=len(missing)) as pool:
            for outcome in [pool.submit(_build, go, build) for build in missing]:
                outcome.result()


def path(build: Build, name: str = "") -> str:
    """The program's path, or that of one of its other names; it must have been built."""
    return str(build.folder / (name or build.program))


def kept(build: Build, folder: str) -> Path:
    """One of the build's `folders`; it must have been built."""
    return build.folder / _KEPT / folder


def install_for_people() -> None:
    """kubectl and helm in `.local/bin`."""
    paths.PROGRAMS.mkdir(parents=True, exist_ok=True)
    for name, target in (("kubectl", path(KUBE, "kubectl")), ("helm", path(HELM))):
        link = paths.PROGRAMS / name
        if not (link.is_symlink() and str(link.readlink()) == target):
            link.unlink(missing_ok=True)
            link.symlink_to(target)


def _build(go: Path, build: Build) -> None:
    expect = f"the first time, {build.minutes} on 2 free cores" if build.minutes else ""
    with step(f"build {build.program} {build.version}", expect):
        folder = build.folder
        making = folder.with_name(f"{folder.name}.{os.getpid()}")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        environment = {
            **os.environ,
            "CGO_ENABLED": "0",
            "GOCACHE": str(paths.GO_BUILD_CACHE),
            "GOMODCACHE": str(paths.GO_MODULE_CACHE),
            "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false",
            "GOWORK": "off",
        }
        flags = " ".join(["-s", "-w", *(f"-X {variable}" for variable in build.variables)])
        log = paths.CACHE / "log" / f"build-{build.program}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
        for package in (build.package, *build.more):
            target = making / (build.program if package == build.package else package.rpartition("/")[2])
            run([str(go), "build", "-trimpath", f"-ldflags={flags}", "-o", str(target), package],
                timeout_seconds=_BUILD_TIMEOUT_SECONDS, environment=environment,
                directory=paths.MODULES / build.module, log=log)  # fmt: skip
        if build.dependency:
            source = run([str(go), "list", "-m", "-f", "{{.Dir}}", build.dependency], timeout_seconds=60,
                         environment=environment, directory=paths.MODULES / build.module).strip()  # fmt: skip
            for inside in build.folders:
                shutil.copytree(Path(source) / inside, making / _KEPT / inside)
        for name in build.links:
            (making / name).symlink_to(build.program)
        shutil.rmtree(folder, ignore_errors=True)
        making.rename(folder)
        for outdated in folder.parent.glob(f"{build.program}-*-*"):
            if outdated != folder:
                shutil.rmtree(outdated, ignore_errors=True)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two checkouts may share the cache: the second waits for the first one's builds."""
    paths.CACHE.mkdir(parents=True, exist_ok=True)
    with (paths.CACHE / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
