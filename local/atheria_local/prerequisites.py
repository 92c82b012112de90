"""What this machine must have before the cluster can start; each lack is one line with its remedy.

Called by `up`, `images` and `make setup` (which installs the Debian packages of programs that are missing).
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from atheria_local import paths
from atheria_local.errors import LocalError
from atheria_local.progress import step
from atheria_local.shell import run

PACKAGE_OF: Final = {
    "ip": "iproute2",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "containerd": "containerd",
    "runc": "runc",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
}
BROWSERS: Final = ("chromium", "chromium-browser")
"""Programs, the first of them with a Debian package of its name; the cluster needs none."""
CNI_FOLDER: Final = Path("/usr/lib/cni")
CNI_PACKAGE: Final = "containernetworking-plugins"
GATEWAY_PORTS: Final = (8001, 8000)
FIRST_BUILD_BYTES: Final = 16 * 1024**3
"""Go's caches 6 GB, images and their layers 7 GB, with some air (measured on the first builds)."""
LATER_BYTES: Final = 3 * 1024**3
ELSEWHERE: Final = "or set KUBECONFIG to use a cluster that you have"


def why_not_here() -> str:
    """Why this machine can never run the local cluster, or an empty string: it must be Linux on x86-64 or arm64, as root."""
    if platform.system() != "Linux":
        return f"the local cluster needs Linux, this is {platform.system()}: use a Linux machine, {ELSEWHERE}"
    if platform.machine() not in ("x86_64", "aarch64"):
        return f"the local cluster needs x86-64 or arm64, this is {platform.machine()}: use such a machine, {ELSEWHERE}"
    if os.geteuid() != 0:
        return f"the local cluster needs root (network namespaces, mounts, cgroups): run as root, {ELSEWHERE}"
    return ""


def missing_packages() -> list[str]:
    """Debian packages of the programs that are not there."""
    search = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin{os.pathsep}/sbin"
    packages = {
        package for program, package in PACKAGE_OF.items() if shutil.which(program, path=search) is None
    }
    if not (CNI_FOLDER / "bridge").exists():
        packages.add(CNI_PACKAGE)
    return sorted(packages)


def install_packages() -> None:
    """Install what is missing with apt. Raises LocalError where there is no apt or it fails."""
    if packages := missing_packages():
        _install(packages)


def install_browser() -> None:
    """A Chromium for the tests of the live page, where there is none. Raises LocalError as `install_packages`."""
    if not any(shutil.which(program) for program in BROWSERS):
        _install([BROWSERS[0]])


def _install(packages: Sequence[str]) -> None:
    if shutil.which("apt-get") is None:
        raise LocalError(
            f"missing programs of the Debian packages {' '.join(packages)}: install them and run again"
        )
    log = paths.CACHE / "log" / "apt.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step(f"system packages: {' '.join(packages)}"):
        run(["apt-get", "update", "-q"], timeout_seconds=300, environment=environment, log=log)
        run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages],
            timeout_seconds=900, environment=environment, log=log)  # fmt: skip


def check_machine(*, first_build: bool) -> None:
    """Raise LocalError for the first thing that is missing: Linux, root, programs, cgroups, disk."""
    if reason := why_not_here():
        raise LocalError(reason)
    if packages := missing_packages():
        raise LocalError(f"missing programs of the Debian packages {' '.join(packages)}: run `make setup`")
    if not Path("/sys/fs/cgroup").is_dir():
        raise LocalError(
            "/sys/fs/cgroup is not mounted, so containers cannot be limited: mount cgroups and run again"
        )
    paths.CACHE.mkdir(parents=True, exist_ok=True)
    needed = FIRST_BUILD_BYTES if first_build else LATER_BYTES
    free = shutil.disk_usage(paths.CACHE).free
    if free < needed:
        raise LocalError(
            f"{paths.CACHE} has {free / 1024**3:.1f} GiB free, {needed / 1024**3:.0f} GiB are needed"
            f"{' for the first build' if first_build else ''}: free some, or set XDG_CACHE_HOME to a larger disk"
        )


def check_ports() -> None:
    """Raise LocalError when something listens already where the gateway shall answer."""
    for port in GATEWAY_PORTS:
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError as error:
            raise LocalError(
                f"127.0.0.1:{port} is in use ({error.strerror}): stop what listens there (`ss -ltnp 'sport = :{port}'`) and run again"
            ) from error
