"""All objects of the cluster, listed before an install and after an uninstall."""

from __future__ import annotations

import time

from atheria_cli.cluster import Cluster, ClusterError

_PASSING = ("Event/", "Lease/kube-", "Lease/apiserver-")
"""What comes and goes by itself."""
_LIST_SECONDS = 60.0


def everything(cluster: Cluster) -> frozenset[str]:
    """`Kind/namespace/name` of whatever the API server can list. Raises ClusterError."""
    deadline = time.monotonic() + _LIST_SECONDS
    while True:
        try:
            return _listed(cluster)
        except ClusterError:
            # A kind that has just gone is still named for a moment.
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def _listed(cluster: Cluster) -> frozenset[str]:
    kinds = cluster.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    columns = "{.kind}/{.metadata.namespace}/{.metadata.name}"
    said = cluster.kubectl(
        "get",
        ",".join(kind for kind in kinds if not kind.startswith("events")),
        "-A",
        "--ignore-not-found",
        "-o",
        f"jsonpath={{range .items[*]}}{columns}{{'\\n'}}{{end}}",
        timeout_seconds=120,
    )
    return frozenset(name for name in said.split() if not name.startswith(_PASSING))
