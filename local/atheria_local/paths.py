"""Where things are: the repository's `.local`, the user's cache, and short-lived sockets under /run.

Nothing else is written outside of these three places, so `down` and `make clean-cache` can remove all of it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[2]
MODULES: Final = REPOSITORY / "local"
"""Folder of the Go modules."""

LOCAL: Final = REPOSITORY / ".local"
KUBECONFIG: Final = LOCAL / "kubeconfig"
PROGRAMS: Final = LOCAL / "bin"
IMAGE_VALUES: Final = LOCAL / "images.yaml"
"""Helm values with the tags of the images that were loaded last."""
CLUSTER: Final = LOCAL / "cluster"
PKI: Final = CLUSTER / "pki"
LOGS: Final = CLUSTER / "log"
RECORDS: Final = CLUSTER / "processes"

CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "atheria"
GO_BUILD_CACHE: Final = CACHE / "go-build"
GO_MODULE_CACHE: Final = CACHE / "go-mod"
CONTAINERD_ROOT: Final = CACHE / "containerd"
"""Image layers survive `down` here, so that the next `up` loads nothing twice."""

RUN: Final = Path("/run/atheria-local")
"""Sockets and containerd's state: short paths (a socket's path has 107 bytes at most), gone after a reboot."""
OWNER: Final = RUN / "owner"
CONTAINERD_SOCKET: Final = RUN / "containerd.sock"
