"""Which revisions' clusters an Envoy already has when an activator that knows nothing of them begins to serve it.

Envoy says again what version of the clusters it has when it opens a stream, so the version names them: `xds/ads_stream.py`
writes it, `runtime/ads_service.py` reads it. A call keeps the cluster of the revision that it was given first; a restarted
activator that left it out would have Envoy refuse the call's next try.
"""

from __future__ import annotations

from collections.abc import Iterable

from atheria_gateway.core.model import ModelKey
from atheria_gateway.xds.cluster_names import read_cluster_name, revision_cluster


def version_of(nonce: str, clusters: Iterable[str]) -> str:
    """`version_info` of an answer with these clusters: its nonce, then one name for each revision."""
    found = {
        revision_cluster(cluster.model, cluster.revision, http=False)
        for name in clusters
        if (cluster := read_cluster_name(name)) is not None and cluster.revision
    }
    return " ".join((nonce, *sorted(found)))


def revisions_in(version: str) -> tuple[tuple[ModelKey, str], ...]:
    """Models and names of their revisions in a version; empty for one that names none, or that is not ours."""
    clusters = [read_cluster_name(name) for name in version.split(" ")[1:]]
    return tuple((one.model, one.revision) for one in clusters if one is not None and one.revision)
